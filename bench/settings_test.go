package main

import (
	"io"
	"slices"
	"testing"
	"time"
)

func TestParseSettings(t *testing.T) {
	t.Parallel()
	s, err := parseSettings([]string{"-work", "create, read by id", "-connections", "32,1,32", "-parts", "sqlite", "-length", "2s"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.works, []string{readByID, create}) || !slices.Equal(s.connections, []int{1, 32}) ||
		!slices.Equal(s.parts, []string{"sqlite"}) || s.length != 2*time.Second || s.rounds != 3 {
		t.Errorf("settings are %+v", s)
	}
	if s, err = parseSettings([]string{"-smoke", "-rounds", "2"}, io.Discard); err != nil || s.rounds != 2 || s.length >= time.Second || len(s.works) != len(allWorks) {
		t.Errorf("with -smoke they are %+v, %v", s, err)
	}
	for _, wrong := range [][]string{
		{"-work", "nothing"}, {"-parts", ""}, {"-connections", "0"}, {"-connections", "x"}, {"-rounds", "0"}, {"-objects", "10"}, {"-nothing"}, {"sqlite"},
	} {
		if _, err := parseSettings(wrong, io.Discard); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
