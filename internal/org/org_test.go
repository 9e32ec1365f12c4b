package org

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
)

// environment is one with the package of Stream Governance, or with no
// configuration of it.
func environment(governance string) *engine.Object {
	doc := engine.Doc{"display_name": "e"}
	if governance != "" {
		doc["stream_governance_config"] = engine.Doc{"package": governance}
	}
	return &engine.Object{Kind: Environment, Doc: doc}
}

func TestStreamGovernanceGoesUpOnly(t *testing.T) {
	t.Parallel()
	refused := []api.Problem{{
		Message: "The Stream Governance package cannot be lowered from ADVANCED or removed",
		Pointer: "/stream_governance_config/package",
	}}
	for _, c := range []struct {
		before, after string
		problems      []api.Problem
	}{
		{"", "", nil},
		{"", essentials, nil},
		{"", advanced, nil},
		{essentials, "", nil},
		{essentials, essentials, nil},
		{essentials, advanced, nil},
		{advanced, advanced, nil},
		{advanced, essentials, refused},
		{advanced, "", refused},
	} {
		w := &engine.Write{Verb: engine.Update, Old: environment(c.before), New: environment(c.after)}
		if got := validateEnvironment(w); !reflect.DeepEqual(got, c.problems) {
			t.Errorf("from %q to %q: %v, want %v", c.before, c.after, got, c.problems)
		}
	}
	for _, governance := range []string{"", essentials, advanced} {
		if got := validateEnvironment(&engine.Write{Verb: engine.Create, New: environment(governance)}); got != nil {
			t.Errorf("a new one with %q: %v", governance, got)
		}
	}
}

// Whatever is written has a package, but for what had none before.
func TestStreamGovernanceIsThere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		old        *engine.Object
		sent, kept string
	}{
		{nil, "", essentials},
		{nil, advanced, advanced},
		{environment(essentials), "", essentials},
		{environment(essentials), advanced, advanced},
		{environment(""), "", ""},
		{environment(""), essentials, essentials},
	} {
		w := &engine.Write{Old: c.old, New: environment(c.sent)}
		if err := govern(t.Context(), w); err != nil || packageOf(w.New) != c.kept {
			t.Errorf("%v and then %q: %q, %v, want %q", c.old, c.sent, packageOf(w.New), err, c.kept)
		}
	}
}

func TestOrganizationNames(t *testing.T) {
	t.Parallel()
	var name *engine.Field
	for i, f := range Organization.Fields {
		if f.Name == "display_name" {
			name = &Organization.Fields[i]
		}
	}
	for text, good := range map[string]bool{
		"Finance Org":            true,
		"é😀 (EMEA) & Sons, Inc.": true,
		"x":                      true,
		strings.Repeat("é", 31):  true,
		strings.Repeat("é", 32):  false,
		"":                       false,
		"a<b":                    false,
		"a>b":                    false,
		"#1":                     false,
		"100%":                   false,
		"it's":                   false,
		"*":                      false,
		"a^b":                    false,
		"`id`":                   false,
		"{a}":                    false,
		"a|b":                    false,
		"a~b":                    false,
		`the "org"`:              false,
	} {
		if got := name.Pattern.MatchString(text); got != good {
			t.Errorf("%q may be a name: %v", text, got)
		}
	}
}

// An organization is the root of resource names and has no segment of its own
// below itself.
func TestResourceNames(t *testing.T) {
	t.Parallel()
	const root = "crn://confluent.cloud/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
	id := strings.TrimPrefix(root, "crn://confluent.cloud/organization=")
	if got := (&engine.Object{Kind: Organization, Org: id, ID: id}).ResourceName(); got != root {
		t.Errorf("the organization is %s", got)
	}
	if got := (&engine.Object{Kind: Environment, Org: id, ID: "env-abc123"}).ResourceName(); got != root+"/environment=env-abc123" {
		t.Errorf("the environment is %s", got)
	}
}
