package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are what is measured and for how long.
type settings struct {
	// weir is the program to measure, pocketBase and prism are those to compare it
	// with, or "".
	weir, pocketBase, prism string
	// parts and works are the names of those to measure.
	parts, works []string
	rounds       int
	length       time.Duration
	connections  []int
	// objects are how many service accounts there are, many are how many there
	// are where many are measured.
	objects, many int
	// smoke says that the figures mean nothing.
	smoke bool
}

// The names of the works that can be compared, in the order of the tables.
const (
	readByID     = "read by id"
	listOf100    = "list of 100"
	filteredList = "filtered list"
	create       = "create"
	patch        = "patch"
	remove       = "delete"
	exchange     = "STS exchange"
)

var allWorks = []string{readByID, listOf100, filteredList, create, patch, remove, exchange}

// readWorks are those that change nothing.
var readWorks = []string{readByID, listOf100, filteredList}

// parseSettings reads the arguments of the command line. Usage and mistakes are
// written to out.
func parseSettings(arguments []string, out io.Writer) (settings, error) {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(out)
	s := settings{parts: names, works: allWorks, connections: []int{1, 32, 256}}
	flags.StringVar(&s.weir, "weir", "../bin/weir", "the `program` to measure")
	flags.StringVar(&s.pocketBase, "pocketbase", "", "the `program` of bench/pocketbase to compare with")
	flags.StringVar(&s.prism, "prism", "", "the `program` of Prism's command line to compare with")
	flags.Func("parts", "measure these `parts` alone, separated by commas: "+strings.Join(names, ", "), func(text string) (err error) {
		s.parts, err = choose(text, names)
		return err
	})
	flags.Func("work", "measure these `works` alone, separated by commas: "+strings.Join(allWorks, ", "), func(text string) (err error) {
		s.works, err = choose(text, allWorks)
		return err
	})
	flags.Func("connections", "`numbers` of connections, separated by commas (default 1,32,256)", func(text string) (err error) {
		s.connections, err = numbers(text)
		return err
	})
	flags.IntVar(&s.rounds, "rounds", 3, "how often each load is repeated")
	flags.DurationVar(&s.length, "length", time.Second, "how long each load takes")
	flags.IntVar(&s.objects, "objects", 1000, "how many service accounts there are")
	flags.IntVar(&s.many, "many", 1_000_000, "how many service accounts there are in the part million")
	flags.BoolVar(&s.smoke, "smoke", false, "only show that everything runs; the figures mean nothing")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("there are no arguments beside flags: %q", flags.Args())
	}
	if s.smoke {
		s.shrink(flags)
	}
	if s.rounds < 1 || s.length <= 0 || s.objects < 100 || s.many < 100 {
		return s, fmt.Errorf("-rounds, -length, -objects or -many is too small: %d, %s, %d, %d", s.rounds, s.length, s.objects, s.many)
	}
	return s, nil
}

// shrink makes everything small that no flag was given for.
func (s *settings) shrink(flags *flag.FlagSet) {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, set := range map[string]func(){
		"rounds":      func() { s.rounds = 1 },
		"length":      func() { s.length = 100 * time.Millisecond },
		"connections": func() { s.connections = []int{1, 8} },
		"objects":     func() { s.objects = 200 },
		"many":        func() { s.many = 2000 },
	} {
		if !given[name] {
			set()
		}
	}
}

// choose returns those of the names that the text lists, in their own order.
func choose(text string, names []string) ([]string, error) {
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); !slices.Contains(names, name) {
			return nil, fmt.Errorf("%q is none of %s", name, strings.Join(names, ", "))
		}
		wanted[name] = true
	}
	var chosen []string
	for _, name := range names {
		if wanted[name] {
			chosen = append(chosen, name)
		}
	}
	return chosen, nil
}

// numbers reads positive numbers separated by commas, and sorts them.
func numbers(text string) ([]int, error) {
	var read []int
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no positive number", field)
		}
		read = append(read, n)
	}
	slices.Sort(read)
	return slices.Compact(read), nil
}
