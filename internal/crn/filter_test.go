package crn

import (
	"errors"
	"testing"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	bindings := []struct{ name, pattern string }{
		{"org", org},
		{"env", env},
		{"env2", org + "/environment=env-456xy2"},
		{"cloud", cloud},
		{"kafka", kafka},
		{"topics", kafka + "/topic=*"},
		{"ord*", kafka + "/topic=ord*"},
		{"orders", kafka + "/topic=orders"},
		{"payments", kafka + "/topic=payments"},
		{"subject", registry + "/subject=:.ctx:*"},
		{"sa", org + "/service-account=sa-abc1234"},
		{"other org", "crn://confluent.cloud/organization=other/environment=env-456xy"},
	}
	for _, tt := range []struct {
		filter string
		want   []string
	}{
		{org, []string{"org"}},
		{env, []string{"env"}},
		{kafka + "/topic=orders", []string{"topics", "ord*", "orders"}},
		{kafka + "/topic=ord*", []string{"topics", "ord*", "orders"}},
		{kafka + "/topic=*", []string{"topics", "ord*", "orders", "payments"}},
		{registry + "/subject=%3A.ctx%3A*", []string{"subject"}},
		{registry + "/subject=:.ctx:*", []string{"subject"}},
		{org + "/environment=env-none", nil},

		{"crn://confluent.cloud/*", []string{"org", "env", "env2", "cloud", "kafka", "topics", "ord*", "orders", "payments", "subject", "sa", "other org"}},
		{org + "/*", []string{"org", "env", "env2", "cloud", "kafka", "topics", "ord*", "orders", "payments", "subject", "sa"}},
		{env + "/*", []string{"env", "cloud", "kafka", "topics", "ord*", "orders", "payments", "subject"}},
		{kafka + "/*", []string{"kafka", "topics", "ord*", "orders", "payments"}},
		{kafka + "/topic=orders/*", []string{"topics", "ord*", "orders"}},
		{"crn://api.confluent.cloud/*", nil},
	} {
		t.Run(tt.filter, func(t *testing.T) {
			t.Parallel()
			f, err := ParseFilter(tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			wanted := map[string]bool{}
			for _, name := range tt.want {
				wanted[name] = true
			}
			for _, b := range bindings {
				if got := f.Selects(mustPattern(t, b.pattern)); got != wanted[b.name] {
					t.Errorf("selects %s (%s): %v, want %v", b.name, b.pattern, got, wanted[b.name])
				}
			}
			if f.Selects(Pattern{}) {
				t.Error("selects the zero Pattern")
			}
		})
	}
}

func TestFilterErrors(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "*", "/*", "crn:///*", "lkc-123abc", env + "/", env + "/*/*",
		"crn://confluent.cloud/organization=*", "crn://confluent.cloud/organization=*/*",
		kafka + "/topic=ord*/*", kafka + "/topic=a*b",
	} {
		f, err := ParseFilter(s)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("ParseFilter(%q) gives %v, want a *SyntaxError", s, err)
		}
		if f.Selects(mustPattern(t, env)) {
			t.Errorf("ParseFilter(%q) selects something beside the error", s)
		}
	}
	var zero Filter
	if zero.Selects(mustPattern(t, env)) || zero.Selects(mustPattern(t, kafka+"/topic=*")) || zero.Selects(Pattern{}) {
		t.Error("the zero Filter selects something")
	}
}
