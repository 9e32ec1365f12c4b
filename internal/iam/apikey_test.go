package iam

import (
	"errors"
	"reflect"
	"testing"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/store"
)

func TestKeyResources(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"cloud": "Cloud", "Cloud": "Cloud", "GLOBAL": "Global", "tableflow": "Tableflow",
		"lkc-abc123": "KafkaApiKey", "lsrc-abc123": "SchemaRegistryApiKey", "lksqlc-abc123": "KsqlApiKey",
		"aws.us-east-1": "FlinkApiKey", "env-abc123.aws.us-east-1": "FlinkApiKey",
		"": "", "cloudy": "", "lkc": "", "xlkc-abc": "", "env-abc123": "", "aws.": "", "aws.us-east-1.": "", "aws.us east": "",
	} {
		r := resourceWith(id)
		got := ""
		if r != nil {
			got = r.permission
			if r.literal != "" {
				got = r.kind
			}
			if same := resourceOf(r.apiVersion, r.kind); same != r {
				t.Errorf("%q: the type is not found by what keys say of it", id)
			}
		}
		if got != want {
			t.Errorf("%q belongs to %q, want %q", id, got, want)
		}
	}
	if r := resourceOf("iam/v2", "User"); r != nil {
		t.Errorf("keys are made for %+v", r)
	}
}

func key(owner string, spec engine.Doc) *engine.Object {
	if spec == nil {
		spec = engine.Doc{}
	}
	spec["owner"] = engine.Doc{"id": owner}
	return &engine.Object{Kind: APIKey, Org: orgID, Doc: engine.Doc{"spec": spec}}
}

func TestNewKeyIsACloudKey(t *testing.T) {
	t.Parallel()
	literal := engine.Doc{"id": "cloud", "related": "cloud", "resource_name": "cloud", "api_version": "iam/v2", "kind": "Cloud"}
	for name, spec := range map[string]func() engine.Doc{
		"left out":    func() engine.Doc { return engine.Doc{} },
		"by its word": func() engine.Doc { return engine.Doc{"resource": engine.Doc{"id": "CLOUD"}} },
		"as a list":   func() engine.Doc { return engine.Doc{"resources": []any{engine.Doc{"id": "cloud"}}} },
		"both ways": func() engine.Doc {
			return engine.Doc{"resource": engine.Doc{"id": "cloud"}, "resources": []any{engine.Doc{"id": "Cloud"}}}
		},
		"with an empty list": func() engine.Doc { return engine.Doc{"resources": []any{}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			o := f.insert(key(f.admin, spec()))
			secret := o.Once["spec.secret"]
			if !authn.WellFormedSecret(secret) {
				t.Errorf("the secret is %q", secret)
			}
			stored := f.get(APIKey, o.ID)
			if got := stored.Doc.Get("spec.resource"); !reflect.DeepEqual(got, literal) {
				t.Errorf("the resource is %v", got)
			}
			if got := stored.Doc.Get("spec.resources"); !reflect.DeepEqual(got, []any{literal}) {
				t.Errorf("the resources are %v", got)
			}
			record, err := authn.DecodeKeyRecord(stored.Private)
			if err != nil || record.Owner != f.admin || record.Scheme != authn.SchemeCloudKey || !f.Hasher.Matches(record.Hash, secret) {
				t.Errorf("the record is %+v, %v", record, err)
			}
			if stored.Doc.Get("spec.secret") != nil {
				t.Error("the secret is in the stored document")
			}
		})
	}
}

func TestNewKeyForNoSuchResource(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, c := range map[string]struct {
		spec    engine.Doc
		pointer string
	}{
		"unknown":         {engine.Doc{"resource": engine.Doc{"id": "nothing"}}, "/spec/resource/id"},
		"unknown in list": {engine.Doc{"resources": []any{engine.Doc{"id": "nothing"}}}, "/spec/resources/0/id"},
		"not there":       {engine.Doc{"resource": engine.Doc{"id": "lkc-zzzzzz"}}, "/spec/resource/id"},
		"two":             {engine.Doc{"resource": engine.Doc{"id": "cloud"}, "resources": []any{engine.Doc{"id": "global"}}}, "/spec/resources/0/id"},
	} {
		err := f.try(func(tx store.Tx) error { return f.Insert(t.Context(), tx, key(f.admin, c.spec)) })
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.ValidationFailed || e.Problems[0].Pointer != c.pointer {
			t.Errorf("%s: the error is %#v, want a problem at %s", name, err, c.pointer)
		}
	}
}

func TestKeysStandBelowTheirOwner(t *testing.T) {
	t.Parallel()
	for owner, want := range map[string]string{
		"u-abc123": root + "/user=u-abc123/api-key=KEY", "sa-abc123": root + "/service-account=sa-abc123/api-key=KEY", "": root + "/api-key=KEY",
	} {
		o := key(owner, nil)
		o.ID = "KEY"
		if got := o.ResourceName(); got != want {
			t.Errorf("the key of %q is %s, want %s", owner, got, want)
		}
	}
}

// guards lists what permission on a key is asked of.
func guards(list []engine.Guard) []string {
	var out []string
	for _, g := range list {
		out = append(out, g.Resource+" on "+g.On.String())
	}
	return out
}

func TestKeyGuards(t *testing.T) {
	t.Parallel()
	cloudSpec := func() engine.Doc {
		return engine.Doc{"resource": engine.Doc{"api_version": "iam/v2", "kind": "Cloud", "resource_name": "cloud"}}
	}
	cluster := root + "/environment=env-abc123/cloud-cluster=lkc-abc123"
	kafka := func() engine.Doc {
		return engine.Doc{"resource": engine.Doc{"api_version": "cmk/v2", "kind": "Cluster", "resource_name": cluster}}
	}
	for name, c := range map[string]struct {
		o    *engine.Object
		want []string
	}{
		"cloud key of a user":              {key("u-abc123", cloudSpec()), []string{"CloudApiKey on " + root}},
		"cloud key of a service account":   {key("sa-abc123", cloudSpec()), []string{"CloudApiKey on " + root, "CloudApiKey on " + root + "/service-account=sa-abc123"}},
		"cluster key of a service account": {key("sa-abc123", kafka()), []string{"KafkaApiKey on " + cluster, "KafkaApiKey on " + root + "/service-account=sa-abc123"}},
		"unreadable name":                  {key("u-abc123", engine.Doc{"resource": engine.Doc{"api_version": "cmk/v2", "kind": "Cluster", "resource_name": "x"}}), nil},
	} {
		if got := guards(keyGuards(c.o)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: guards are %q, want %q", name, got, c.want)
		}
	}
}
