package iam

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/org"
	"github.com/weirhq/weir/internal/store"
)

func binding(principal, role, pattern string) *engine.Object {
	return &engine.Object{Kind: RoleBinding, Org: orgID, Doc: engine.Doc{"principal": principal, "role_name": role, "crn_pattern": pattern}}
}

func TestBindingLinks(t *testing.T) {
	t.Parallel()
	links := func(o *engine.Object) map[string]bool {
		out := map[string]bool{}
		for _, l := range bindingLinks(o) {
			text := l.Field + " " + l.To.Kind + " " + l.To.ID
			if l.To.Kind != "" && l.OnDelete != engine.Cascade {
				text += " restricts"
			}
			out[text] = true
		}
		return out
	}
	const environment = root + "/environment=env-abc123"
	for name, c := range map[string]struct {
		o    *engine.Object
		want map[string]bool
	}{
		"organization": {binding("User:u-abc123", "OrganizationAdmin", root), map[string]bool{
			"principal.id iam/v2.User u-abc123": true, "crn_pattern/*  " + root: true,
		}},
		"environment": {binding("User:sa-abc123", "EnvironmentAdmin", environment), map[string]bool{
			"principal.id iam/v2.ServiceAccount sa-abc123": true, "crn_pattern/*  " + root: true, "crn_pattern/*  " + environment: true,
			"crn_pattern.environment org/v2.Environment env-abc123": true,
		}},
		"identity pool": {binding("User:pool-AbC123", "ResourceOwner", root+"/identity-provider=op-1/identity-pool=pool-2"), map[string]bool{
			"principal.id iam/v2.IdentityPool pool-AbC123": true, "crn_pattern/*  " + root: true, "crn_pattern/*  " + root + "/identity-provider=op-1": true,
			"crn_pattern/*  " + root + "/identity-provider=op-1/identity-pool=pool-2": true,
			"crn_pattern.identity-pool iam/v2.IdentityPool pool-2":                    true,
			"crn_pattern.identity-provider iam/v2.IdentityProvider op-1":              true,
		}},
		"certificate pool": {binding("User:pool-AbC12345", "ResourceOwner", root+"/certificate-identity-pool=pool-AbC12346"), map[string]bool{
			"principal.id iam/v2.CertificateIdentityPool pool-AbC12345": true, "crn_pattern/*  " + root: true,
			"crn_pattern/*  " + root + "/certificate-identity-pool=pool-AbC12346":                true,
			"crn_pattern.certificate-identity-pool iam/v2.CertificateIdentityPool pool-AbC12346": true,
		}},
		"unknown principal, no pattern": {binding("User:lkc-abc", "x", "nonsense"), map[string]bool{}},
	} {
		if got := links(c.o); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: links are %v, want %v", name, got, c.want)
		}
	}
}

func TestFilterPattern(t *testing.T) {
	t.Parallel()
	const environment = root + "/environment=env-abc123"
	for value, want := range map[string]store.Condition{
		root:               {Field: entryExact, Values: []string{root}},
		root + "/*":        {Field: entryBelow, Values: []string{root}},
		environment:        {Field: entryExact, Values: []string{environment}},
		environment + "/*": {Field: entryBelow, Values: []string{environment}},
		strings.Replace(environment, "confluent.cloud", "CONFLUENT.cloud", 1): {Field: entryExact, Values: []string{environment}},
	} {
		if got, err := filterPattern(value, nil); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s selects %+v, %v, want %+v", value, got, err, want)
		}
	}
	for _, value := range []string{"x", "/*", "crn://", "crn://confluent.cloud/organization=*"} {
		if got, err := filterPattern(value, nil); err == nil || strings.HasSuffix(err.Error(), ".") {
			t.Errorf("%s selects %+v, %v", value, got, err)
		}
	}
}

func TestLocateBinding(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		role, pattern string
		code          *api.Code
	}{
		"good":                      {"OrganizationAdmin", root, nil},
		"good on an environment":    {"EnvironmentAdmin", root + "/environment=env-abc123", nil},
		"no such role":              {"Emperor", root, api.InvalidRole},
		"a role in another case":    {"organizationadmin", root, api.InvalidRole},
		"no pattern":                {"OrganizationAdmin", "nonsense", api.BadRequest},
		"nothing to bind to":        {"OrganizationAdmin", root + "/coffee=black", api.BadRequest},
		"wrong scope":               {"OrganizationAdmin", root + "/environment=env-abc123", api.WrongScope},
		"wrong scope the other way": {"EnvironmentAdmin", root, api.WrongScope},
	} {
		o := binding("User:u-abc123", c.role, c.pattern)
		_, err := locateBinding(t.Context(), &engine.Write{New: o})
		if c.code != nil {
			wantCode(t, err, c.code)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := binding("User:u-abc123", "OrganizationAdmin", strings.Replace(root, "confluent.cloud", "Confluent.Cloud", 1))
	if _, err := locateBinding(t.Context(), &engine.Write{New: o}); err != nil || o.Doc.String("crn_pattern") != root {
		t.Errorf("the pattern is kept as %s, %v", o.Doc.String("crn_pattern"), err)
	}
}

func TestBindingGoesWithItsPrincipal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	robot := f.account("robot")
	f.key(f.admin)
	o := f.insert(binding("User:"+robot.ID, "OrganizationAdmin", root))
	f.must(func(tx store.Tx) error {
		locked, err := f.Lock(t.Context(), tx, orgID, ServiceAccount, robot.ID)
		if err != nil {
			return err
		}
		return f.Remove(t.Context(), tx, locked)
	})
	if f.get(RoleBinding, o.ID) != nil {
		t.Error("the binding is still there")
	}
}

// Long names are allowed: a topic may have 249 characters, and percent-encoding
// triples what is not ASCII. What cannot be kept must be told to the client.
func TestBindingToALongName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	environment := f.insert(&engine.Object{Kind: org.Environment, Org: orgID, Doc: engine.Doc{"display_name": "e"}})
	for length, good := range map[int]bool{100: true, 750: true, 1500: false} {
		pattern := root + "/environment=" + environment.ID + "/schema-registry=lsrc-abc123/subject=" + strings.Repeat("x", length)
		err := f.try(func(tx store.Tx) error {
			return f.Insert(t.Context(), tx, binding("User:"+f.admin, "ResourceOwner", pattern))
		})
		if good && err != nil {
			t.Errorf("a name of %d characters: %v", length, err)
		}
		if !good {
			wantCode(t, err, api.BadRequest)
		}
	}
}
