package crn

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	orgID = "9bb441c4-edef-46ac-8a41-c49e44a3fd9a"
	org   = "crn://confluent.cloud/organization=" + orgID
	env   = org + "/environment=env-456xy"
	cloud = env + "/cloud-cluster=lkc-123abc"
	kafka = cloud + "/kafka=lkc-123abc"
)

func mustParse(t testing.TB, s string) CRN {
	t.Helper()
	c, err := Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return c
}

// parts writes segments as "key value key value …".
func parts(c CRN) string {
	var fields []string
	for s := range c.Segments() {
		fields = append(fields, s.Key, s.Value)
	}
	return strings.Join(fields, " ")
}

// TestDocumentedNames goes through the table of example CRNs in the documentation
// of the API, and the further shapes that the service was seen to return.
func TestDocumentedNames(t *testing.T) {
	t.Parallel()
	inOrg := "organization " + orgID
	inEnv := inOrg + " environment env-456xy"
	inCloud := inEnv + " cloud-cluster lkc-123abc"
	inKafka := inCloud + " kafka lkc-123abc"
	for _, tt := range []struct{ name, text, parts string }{
		{"organization", org, inOrg},
		{"environment", env, inEnv},
		{"user", org + "/user=u-rst9876", inOrg + " user u-rst9876"},
		{"API key", org + "/user=u-zyx98/api-key=ABCDEFG9876543210", inOrg + " user u-zyx98 api-key ABCDEFG9876543210"},
		{"service account", org + "/service-account=sa-abc1234", inOrg + " service-account sa-abc1234"},
		{"Kafka cluster", kafka, inKafka},
		{"Kafka topic", kafka + "/topic=my_kafka_topic", inKafka + " topic my_kafka_topic"},
		{"consumer group", kafka + "/group=confluent_cli_consumer_123", inKafka + " group confluent_cli_consumer_123"},
		{"network", env + "/network=n-123abc", inEnv + " network n-123abc"},
		{"peering", env + "/network=n-123abc/peering=p-123abc", inEnv + " network n-123abc peering p-123abc"},
		{"private link access", env + "/network=n-123abc/private-link-access=pla-123abc", inEnv + " network n-123abc private-link-access pla-123abc"},
		{"transit gateway attachment", env + "/network=n-123abc/transit-gateway-attachment=tgwa-123abc", inEnv + " network n-123abc transit-gateway-attachment tgwa-123abc"},
		{"Schema Registry cluster", env + "/schema-registry=lsrc-789qw", inEnv + " schema-registry lsrc-789qw"},
		{"schema subject", env + "/schema-registry=lsrc-789qw/subject=test", inEnv + " schema-registry lsrc-789qw subject test"},
		{"KEK", env + "/schema-registry=lsrc-789qw/kek=test_kek", inEnv + " schema-registry lsrc-789qw kek test_kek"},
		{"connector", cloud + "/connector=my_datagen_connector", inCloud + " connector my_datagen_connector"},
		{"provider integration", env + "/provider-integration=cspi-123j1", inEnv + " provider-integration cspi-123j1"},

		{"user without organization", "crn://confluent.cloud/user=u-1jjv23", "user u-1jjv23"},
		{"role binding", org + "/rolebinding=rb-OOXL7", inOrg + " rolebinding rb-OOXL7"},
		{"compute pool", env + "/flink-region=aws.us-east-1/compute-pool=lfcp-x", inEnv + " flink-region aws.us-east-1 compute-pool lfcp-x"},
		{"API key, other authority", "crn://api.confluent.cloud/organization=" + orgID + "/api-key=KEY", inOrg + " api-key KEY"},
		{"identity", org + "/sso-connection=acme/identity=ada@example.com", inOrg + " sso-connection acme identity ada@example.com"},
		{"self-managed", "crn://mds1.example.com:8090/kafka=abc", "kafka abc"},
		{"literal star", org + "/service-account=%2A", inOrg + " service-account *"},
		{"source of audit events", "crn://confluent.cloud/", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, tt.text)
			if got := c.String(); got != tt.text {
				t.Errorf("String() = %q, want %q", got, tt.text)
			}
			if got := parts(c); got != tt.parts {
				t.Errorf("segments are %q, want %q", got, tt.parts)
			}
			built, err := New(c.Authority(), slices.Collect(c.Segments())...)
			if err != nil || built != c {
				t.Errorf("New(parts) = %v, %v, want %v", built, err, c)
			}
		})
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"empty segment before kek", env + "/schema-registry=lsrc-789qw//kek=k", env + "/schema-registry=lsrc-789qw/kek=k"},
		{"no slash after the authority", "crn://confluent.cloud", "crn://confluent.cloud/"},
		{"authority in upper case", "crn://Confluent.Cloud/user=u-1", "crn://confluent.cloud/user=u-1"},
		{"value keeps its case", "crn://confluent.cloud/user=U-1", "crn://confluent.cloud/user=U-1"},
		{"colon", "crn://confluent.cloud/subject=:.ctx:name", "crn://confluent.cloud/subject=%3A.ctx%3Aname"},
		{"lower-case escape", "crn://confluent.cloud/subject=%3a", "crn://confluent.cloud/subject=%3A"},
		{"escape that is not needed", "crn://confluent.cloud/topic=%41%2d%7E", "crn://confluent.cloud/topic=A-~"},
		{"slash", "crn://confluent.cloud/group=a%2fb", "crn://confluent.cloud/group=a%2Fb"},
		{"percent", "crn://confluent.cloud/group=100%25", "crn://confluent.cloud/group=100%25"},
		{"equals sign", "crn://confluent.cloud/group=a=b", "crn://confluent.cloud/group=a%3Db"},
		{"plus is no space", "crn://confluent.cloud/group=a+b", "crn://confluent.cloud/group=a%2Bb"},
		{"space", "crn://confluent.cloud/connector=my connector", "crn://confluent.cloud/connector=my%20connector"},
		{"question mark and hash", "crn://confluent.cloud/group=a?b#c", "crn://confluent.cloud/group=a%3Fb%23c"},
		{"beyond ASCII", "crn://confluent.cloud/group=é", "crn://confluent.cloud/group=%C3%A9"},
		{"stand for themselves", "crn://confluent.cloud/group=%2D%2E%5F%7E%21%24%26%27%28%29%2C%3B%40", "crn://confluent.cloud/group=-._~!$&'(),;@"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, tt.in)
			if got := c.String(); got != tt.want {
				t.Errorf("Parse(%q) prints %q, want %q", tt.in, got, tt.want)
			}
			if again := mustParse(t, c.String()); again != c {
				t.Errorf("parsing what is printed gives %v, want %v", again, c)
			}
		})
	}
}

// TestEveryCharacter writes each ASCII character as a value and reads it back.
func TestEveryCharacter(t *testing.T) {
	t.Parallel()
	root := Must(New(Authority))
	for b := range 128 {
		value := fmt.Sprintf("x%cy", b)
		c, err := root.Append("group", value)
		if control := b < 0x20 || b == 0x7f; control {
			if err == nil {
				t.Errorf("Append accepts the control character %#x", b)
			}
			continue
		}
		if err != nil {
			t.Errorf("Append(%q): %v", value, err)
			continue
		}
		text := c.String()
		if strings.ContainsAny(text[len("crn://confluent.cloud/group="):], ":/*=+?# ") {
			t.Errorf("%q is printed as %s", value, text)
		}
		if got, ok := mustParse(t, text).Value("group"); !ok || got != value {
			t.Errorf("%s reads back as %q, %v, want %q", text, got, ok, value)
		}
	}
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	seventeen := make([]Segment, MaxSegments+1)
	for i := range seventeen {
		seventeen[i] = Segment{fmt.Sprintf("k%d", i), "v"}
	}
	if _, err := New(Authority, seventeen[:MaxSegments]...); err != nil {
		t.Errorf("New with %d segments: %v", MaxSegments, err)
	}
	for _, tt := range []struct {
		name      string
		authority string
		segments  []Segment
		want      string
	}{
		{"no authority", "", nil, "authority is missing"},
		{"authority with a path", "a/b", nil, "not a host name"},
		{"long authority", strings.Repeat("a", MaxAuthority+1), nil, "longer than 255"},
		{"no key", Authority, []Segment{{"", "v"}}, `key ""`},
		{"key with a slash", Authority, []Segment{{"a/b", "v"}}, `key "a/b"`},
		{"empty value", Authority, []Segment{{"user", ""}}, `value of "user" is empty`},
		{"control character", Authority, []Segment{{"user", "a\nb"}}, "control character"},
		{"C1 control character", Authority, []Segment{{"user", "a\u0085b"}}, "control character"},
		{"not UTF-8", Authority, []Segment{{"user", "a\xffb"}}, "not valid UTF-8"},
		{"repeated key", Authority, []Segment{{"organization", "a"}, {"user", "u"}, {"organization", "b"}}, `"organization" occurs twice`},
		{"too many segments", Authority, seventeen, "more than 16 segments"},
		{"too long only once encoded", Authority, []Segment{{"user", strings.Repeat(" ", MaxLength/2)}}, "longer than 4096"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := New(tt.authority, tt.segments...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
			if !c.IsZero() {
				t.Errorf("returned %v beside the error", c)
			}
		})
	}
}

func TestMust(t *testing.T) {
	t.Parallel()
	if got := Must(New(Authority, Segment{"user", "u-1"})).String(); got != "crn://confluent.cloud/user=u-1" {
		t.Errorf("Must(New) = %s", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("Must does not panic on an error")
		}
	}()
	Must(New(""))
}

func TestAppendKeepsReceiver(t *testing.T) {
	t.Parallel()
	c := mustParse(t, env)
	a, b := Must(c.Append("network", "n-1")), Must(c.Append("network", "n-2"))
	if c.String() != env || a.String() != env+"/network=n-1" || b.String() != env+"/network=n-2" {
		t.Errorf("got %v, %v and %v", c, a, b)
	}
}

func TestAccessors(t *testing.T) {
	t.Parallel()
	c := mustParse(t, kafka+"/topic=a%2Fb")
	if got := c.Len(); got != 5 {
		t.Errorf("Len() = %d, want 5", got)
	}
	if got, want := c.Last(), (Segment{"topic", "a/b"}); got != want {
		t.Errorf("Last() = %v, want %v", got, want)
	}
	for _, tt := range []struct {
		key, value string
		ok         bool
	}{
		{"organization", orgID, true},
		{"kafka", "lkc-123abc", true},
		{"topic", "a/b", true},
		{"cluster", "", false}, // the end of a longer key
		{"confluent.cloud", "", false},
		{"", "", false},
	} {
		if value, ok := c.Value(tt.key); value != tt.value || ok != tt.ok {
			t.Errorf("Value(%q) = %q, %v, want %q, %v", tt.key, value, ok, tt.value, tt.ok)
		}
	}
	for s := range c.Segments() {
		if s.Key != "organization" {
			t.Errorf("the first segment is %v", s)
		}
		break
	}
	var up []string
	for p := c; !p.IsZero(); p = p.Parent() {
		up = append(up, p.String())
	}
	want := []string{kafka + "/topic=a%2Fb", kafka, cloud, env, org, "crn://confluent.cloud/"}
	if !slices.Equal(up, want) {
		t.Errorf("the parents are\n%s\nwant\n%s", strings.Join(up, "\n"), strings.Join(want, "\n"))
	}
}

func TestZeroCRN(t *testing.T) {
	t.Parallel()
	var zero CRN
	root := Must(New(Authority))
	if zero.String() != "" || zero.Authority() != "" || zero.Len() != 0 || zero.Last() != (Segment{}) || !zero.Parent().IsZero() {
		t.Errorf("the zero CRN is not empty: %#v", zero)
	}
	if root.IsZero() || root.Len() != 0 || root.Last() != (Segment{}) || !root.Parent().IsZero() {
		t.Errorf("a CRN without segments has some: %#v", root)
	}
	if zero.HasPrefix(zero) || root.HasPrefix(zero) || zero.HasPrefix(root) {
		t.Error("the zero CRN contains something or lies in something")
	}
	if _, err := zero.Append("user", "u-1"); err == nil {
		t.Error("Append to the zero CRN succeeds")
	}
	if _, err := zero.WithAuthority(Authority); err == nil {
		t.Error("WithAuthority of the zero CRN succeeds")
	}
}

func TestWithAuthority(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "crn://API.confluent.cloud/user=u-1")
	if got := c.Authority(); got != "api.confluent.cloud" {
		t.Errorf("Authority() = %q", got)
	}
	plain := mustParse(t, "crn://confluent.cloud/user=u-1")
	if c == plain {
		t.Error("the authority does not count")
	}
	if got, err := c.WithAuthority("Confluent.cloud"); err != nil || got != plain {
		t.Errorf("WithAuthority = %v, %v, want %v", got, err, plain)
	}
	if _, err := c.WithAuthority("a b"); err == nil {
		t.Error("WithAuthority accepts a space")
	}
	long := Must(New("a", Segment{"user", strings.Repeat("u", MaxLength-20)}))
	if _, err := long.WithAuthority("a-much-longer.example.com"); err == nil {
		t.Error("WithAuthority exceeds the limit")
	}
}

func TestHasPrefix(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		c, scope string
		want     bool
	}{
		{env, env, true},
		{env, org, true},
		{kafka + "/topic=t", env, true},
		{env, "crn://confluent.cloud", true},
		{org, env, false},
		{env + "0", env, false}, // env-456xy0 is another environment
		{env + "/network=n-1", env + "/network=n", false},
		{"crn://confluent.cloud.example.com/user=u", "crn://confluent.cloud", false},
		{"crn://api.confluent.cloud/user=u", "crn://confluent.cloud/user=u", false},
		{"crn://confluent.cloud/user=u%2Fapi-key=k", "crn://confluent.cloud/user=u", false},
	} {
		if got := mustParse(t, tt.c).HasPrefix(mustParse(t, tt.scope)); got != tt.want {
			t.Errorf("%s within %s: %v, want %v", tt.c, tt.scope, got, tt.want)
		}
	}
}
