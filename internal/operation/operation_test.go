package operation

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTableIsSortedAndUnique(t *testing.T) {
	t.Parallel()
	ops := All()
	if len(ops) < 500 {
		t.Fatalf("the table has %d rows, want the whole public surface", len(ops))
	}
	ids := make(map[string]bool)
	for i, o := range ops {
		if ids[o.ID] {
			t.Errorf("two rows are called %s", o.ID)
		}
		ids[o.ID] = true
		if i == 0 {
			continue
		}
		switch p := ops[i-1]; cmp.Or(strings.Compare(p.Path, o.Path), strings.Compare(p.Method, o.Method)) {
		case 0:
			t.Errorf("%s and %s are both %s %s", p.ID, o.ID, o.Method, o.Path)
		case 1:
			t.Errorf("%s %s stands before %s %s", p.Method, p.Path, o.Method, o.Path)
		}
	}
}

func TestTableRowsAreValid(t *testing.T) {
	t.Parallel()
	var (
		methods     = []string{"DELETE", "GET", "PATCH", "POST", "PUT"}
		lifecycles  = []string{EarlyAccess, Preview, LimitedAvailability, GenerallyAvailable, Deprecated}
		successes   = []int{200, 201, 202, 204}
		credentials = []string{APIKey, CloudAPIKey, GlobalAPIKey, ResourceAPIKey, STSToken, ExternalToken, PartnerToken, Session}

		id       = regexp.MustCompile(`^[a-z][A-Za-z0-9_-]*$`)
		path     = regexp.MustCompile(`^(/([a-z][a-z0-9_-]*|-)(:[a-z-]+)?|/\{[a-zA-Z_]+\}(:[a-z-]+)?)+$`)
		group    = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
		scope    = regexp.MustCompile(`^[a-z]+:[a-z]+$`)
		version  = regexp.MustCompile(`^v[1-9]((alpha|beta)[1-9])?$`)
		resource = regexp.MustCompile(`^[A-Z][A-Za-z]*( [A-Z][A-Za-z]*)*$`)
	)
	for _, o := range All() {
		for _, c := range []struct {
			what string
			ok   bool
		}{
			{"id", id.MatchString(o.ID)},
			{"method", slices.Contains(methods, o.Method)},
			{"path", path.MatchString(o.Path)},
			{"group", group.MatchString(o.Group)},
			{"version", version.MatchString(o.Version)},
			{"resource", resource.MatchString(o.Resource)},
			{"lifecycle", slices.Contains(lifecycles, o.Lifecycle)},
			{"success", slices.Contains(successes, o.Success)},
			{"sorted credentials", slices.IsSorted(o.Credentials)},
			{"credentials once each", len(slices.Compact(slices.Clone(o.Credentials))) == len(o.Credentials)},
			{"deprecated in step with lifecycle", o.Deprecated.IsZero() == (o.Lifecycle != Deprecated)},
			{"scopes of tokens that have them", len(o.Scopes) > 0 == slices.Contains(o.Credentials, PartnerToken)},
			{"sunset after deprecated", o.Sunset.IsZero() || o.Sunset.After(o.Deprecated) && !o.Deprecated.IsZero()},
		} {
			if !c.ok {
				t.Errorf("%s: not valid: %s (%+v)", o.ID, c.what, o)
			}
		}
		for _, s := range o.Scopes {
			if !scope.MatchString(s) {
				t.Errorf("%s: not a scope: %q", o.ID, s)
			}
		}
		for _, c := range o.Credentials {
			if !slices.Contains(credentials, c) {
				t.Errorf("%s: unknown credentials %q", o.ID, c)
			}
		}
	}
}

// The few operations that ask for no credentials are public by decision, not
// because a column was left empty.
func TestOperationsWithoutCredentials(t *testing.T) {
	t.Parallel()
	var got []string
	for _, o := range All() {
		if len(o.Credentials) == 0 {
			got = append(got, o.ID)
		}
	}
	want := []string{"queryDocsAiV1DocCompletion", "createAiV1DocCompletionFeedback", "exchangeStsV1OauthToken"}
	if !slices.Equal(got, want) {
		t.Errorf("operations without credentials: %q, want %q", got, want)
	}
}

func TestByID(t *testing.T) {
	t.Parallel()
	cloud := []string{CloudAPIKey, STSToken}
	tests := []struct {
		id   string
		want Operation
	}{
		{"listIamV2ServiceAccounts", Operation{
			Method: "GET", Path: "/iam/v2/service-accounts", Group: "iam", Version: "v2", Resource: "Service Accounts",
			Lifecycle: GenerallyAvailable, Success: 200, Credentials: cloud,
		}},
		{"updateIamV2UserAuth", Operation{
			Method: "PATCH", Path: "/iam/v2/users/{id}/auth", Group: "iam", Version: "v2", Resource: "Users",
			Lifecycle: GenerallyAvailable, Success: 204, Credentials: cloud,
		}},
		{"createIamV2ApiKey", Operation{
			Method: "POST", Path: "/iam/v2/api-keys", Group: "iam", Version: "v2", Resource: "API Keys",
			Lifecycle: GenerallyAvailable, Success: 202, Credentials: []string{APIKey},
		}},
		{"listIamV2SsoGroupMappings", Operation{
			Method: "GET", Path: "/iam/v2/sso/group-mappings", Group: "iam", Version: "v2", Resource: "Group Mappings",
			Lifecycle: Preview, Success: 200, Credentials: []string{APIKey},
		}},
		{"activateSignup", Operation{
			Method: "POST", Path: "/partner/v2/signup/activate", Group: "partner", Version: "v2", Resource: "Signup",
			Lifecycle: EarlyAccess, Success: 201, Credentials: []string{PartnerToken}, Scopes: []string{"partner:create"},
		}},
		{"createKafkaTopic", Operation{
			Method: "POST", Path: "/kafka/v3/clusters/{cluster_id}/topics", Group: "kafka", Version: "v3", Resource: "Topic",
			Lifecycle: GenerallyAvailable, Success: 201, Credentials: []string{ExternalToken, ResourceAPIKey},
		}},
		{"queryMetricsV1Metrics", Operation{
			Method: "POST", Path: "/v1/metrics/{dataset}/query", Group: "metrics", Version: "v1", Resource: "Metrics",
			Lifecycle: Deprecated, Success: 200, Credentials: []string{APIKey},
			Deprecated: time.Date(2021, 9, 25, 0, 0, 0, 0, time.UTC), Sunset: time.Date(2022, 4, 25, 0, 0, 0, 0, time.UTC),
		}},
		{"getSchema", Operation{
			Method: "GET", Path: "/schemas/ids/{id}", Group: "schema-registry", Version: "v1", Resource: "Schemas",
			Lifecycle: GenerallyAvailable, Success: 200, Credentials: []string{ExternalToken, ResourceAPIKey},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.id, func(t *testing.T) {
			t.Parallel()
			got, ok := ByID(tt.id)
			if !ok {
				t.Fatal("not in the table")
			}
			tt.want.ID = tt.id
			if !slices.Equal(got.Credentials, tt.want.Credentials) {
				t.Errorf("credentials are %q, want %q", got.Credentials, tt.want.Credentials)
			}
			if !slices.Equal(got.Scopes, tt.want.Scopes) {
				t.Errorf("scopes are %q, want %q", got.Scopes, tt.want.Scopes)
			}
			got.Credentials, tt.want.Credentials, got.Scopes, tt.want.Scopes = nil, nil, nil, nil
			if g, w := flat(got), flat(tt.want); g != w {
				t.Errorf("got  %+v\nwant %+v", g, w)
			}
		})
	}
	if o, ok := ByID("listNothing"); ok {
		t.Errorf("listNothing is in the table: %+v", o)
	}
}

// flat makes an operation without credentials comparable.
func flat(o Operation) [11]any {
	return [11]any{o.ID, o.Method, o.Path, o.Group, o.Version, o.Resource, o.Lifecycle, o.Success, o.Deprecated, o.Sunset, len(o.Credentials)}
}

func TestAllIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	first := All()
	want := first[0].ID
	first[0].ID = "changed"
	if got := All()[0].ID; got != want {
		t.Errorf("a change to one result reached another: %q", got)
	}
}

func TestTag(t *testing.T) {
	t.Parallel()
	o, _ := ByID("listIamV2ServiceAccounts")
	if got, want := o.Tag(), "Service Accounts (iam/v2)"; got != want {
		t.Errorf("Tag() = %q, want %q", got, want)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	header := strings.Join(columns, "\t") + "\n"
	row := "a\tGET\t/a\tg\tv1\tR\tPreview\t200\tapi-key\t\t\n"
	if ops, err := parse(header + row); err != nil || len(ops) != 1 {
		t.Fatalf("a good file: %v, %v", ops, err)
	}
	tests := []struct{ name, text, want string }{
		{"empty", "", "header row"},
		{"other header", "id\n" + row, "header row"},
		{"too few columns", header + "a\tGET\n", "line 2: 2 columns"},
		{"second row", header + row + "\n", "line 3: 1 columns"},
		{"success", header + strings.Replace(row, "200", "OK", 1), "success code"},
		{"deprecated", header + "a\tGET\t/a\tg\tv1\tR\tPreview\t200\t\tsoon\t\n", "deprecated"},
		{"sunset", header + "a\tGET\t/a\tg\tv1\tR\tPreview\t200\t\t\t2022-13-01\n", "sunset"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := parse(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file[:4000])
	f.Add(strings.Join(columns, "\t") + "\na\tGET\t/a\tg\tv1\tR\tPreview\t200\tapi-key\t\t\n")
	f.Fuzz(func(t *testing.T, text string) {
		ops, err := parse(text)
		if err != nil && ops != nil {
			t.Errorf("rows beside the error %v", err)
		}
	})
}
