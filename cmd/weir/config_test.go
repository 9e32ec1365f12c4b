package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// settings loads the configuration from flags, the environment and a file with
// the content, "" for none. What the environment of the test has is left out.
func settings(t *testing.T, flags []string, environment map[string]string, content string) (*koanf.Koanf, error) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "WEIR_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range environment {
		t.Setenv(name, value)
	}
	if content != "" {
		flags = append(flags, "--config", writeFile(t, "weir.yaml", content))
	}
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	serveFlags(f)
	if err := f.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return load(f)
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	type source struct {
		flags       []string
		environment map[string]string
		file        string
	}
	for _, c := range []struct {
		setting                   string
		flags                     []string
		variable, line            string
		byFlag, byEnv, byFile, by string
	}{
		{publicURL, []string{"--public-url", "https://flag"}, "https://env", "public-url: https://file", "https://flag", "https://env", "https://file", ""},
		{listen, []string{"--listen=127.0.0.1:1"}, "127.0.0.1:2", "listen: 127.0.0.1:3", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:8080"},
		{tlsSelfSigned, []string{"--tls-self-signed"}, "true", "tls-self-signed: true", "true", "true", "true", "false"},
		{tlsClientCerts, []string{"--tls-client-certificates"}, "true", "tls-client-certificates: true", "true", "true", "true", "false"},
		{rateLimitAddress, []string{"--rate-limit-address", "1"}, "2", "rate-limit-address: 3", "1", "2", "3", "10"},
		{trustedProxy, []string{"--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "10.1.0.0/16,::1/128"}, "192.0.2.0/24,2001:db8::/32", "trusted-proxy: [198.51.100.0/24, 203.0.113.0/24]",
			"[10.0.0.0/8 10.1.0.0/16 ::1/128]", "[192.0.2.0/24 2001:db8::/32]", "[198.51.100.0/24 203.0.113.0/24]", "[]"},
		{oauthAllowNetwork, []string{"--oauth-allow-network", "10.0.0.0/8,::1/128"}, "192.0.2.0/24,2001:db8::/32", "oauth-allow-network: [198.51.100.0/24]",
			"[10.0.0.0/8 ::1/128]", "[192.0.2.0/24 2001:db8::/32]", "[198.51.100.0/24]", "[]"},
	} {
		environment := map[string]string{"WEIR_" + strings.ToUpper(strings.ReplaceAll(c.setting, "-", "_")): c.variable}
		for name, s := range map[string]struct {
			source
			want string
		}{
			"default":            {source{}, c.by},
			"file":               {source{file: c.line}, c.byFile},
			"environment":        {source{environment: environment}, c.byEnv},
			"environment, file":  {source{environment: environment, file: c.line}, c.byEnv},
			"flag":               {source{flags: c.flags}, c.byFlag},
			"flag, file":         {source{flags: c.flags, file: c.line}, c.byFlag},
			"flag, environment":  {source{flags: c.flags, environment: environment}, c.byFlag},
			"all three of them":  {source{c.flags, environment, c.line}, c.byFlag},
			"empty environment":  {source{environment: map[string]string{"WEIR_LISTEN": "", "WEIR_PUBLIC_URL": "", "WEIR_TRUSTED_PROXY": "", "WEIR_OAUTH_ALLOW_NETWORK": ""}, file: c.line}, c.byFile},
			"another's variable": {source{environment: map[string]string{"WEIR_NO_SUCH_SETTING": "x", "LISTEN": "x"}}, c.by},
		} {
			t.Run(c.setting+" by "+name, func(t *testing.T) {
				k, err := settings(t, slices.Clone(s.flags), s.environment, s.file)
				if err != nil {
					t.Fatal(err)
				}
				config := serverConfig(k)
				got := map[string]any{
					publicURL: config.PublicURL, listen: config.Listen, tlsSelfSigned: config.TLSSelfSigned, tlsClientCerts: config.TLSClientCertificates,
					rateLimitAddress: config.RateLimitAddress, trustedProxy: config.TrustedProxies, oauthAllowNetwork: config.OAuthNetworks,
				}[c.setting]
				if fmt.Sprint(got) != s.want {
					t.Errorf("%s is %v, want %s", c.setting, got, s.want)
				}
			})
		}
	}
}

// A false flag wins too: it was given, whatever its value.
func TestAFlagCanTurnOff(t *testing.T) {
	k, err := settings(t, []string{"--tls-self-signed=false", "--rate-limit-address=0"}, map[string]string{"WEIR_TLS_SELF_SIGNED": "true", "WEIR_RATE_LIMIT_ADDRESS": "5"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if c := serverConfig(k); c.TLSSelfSigned || c.RateLimitAddress != 0 {
		t.Errorf("the flags lost: %+v", c)
	}
}

func TestEverySettingArrives(t *testing.T) {
	k, err := settings(t, nil, map[string]string{
		"WEIR_BOOTSTRAP_API_KEY": "key", "WEIR_BOOTSTRAP_API_SECRET": "secret", "WEIR_BOOTSTRAP_EMAIL": "email",
	}, `
data-dir: /data
database-url: postgres://db/weir
tls-cert: cert.pem
tls-key: key.pem
rate-limit-principal: 7
rate-limit-organization: 8
rate-limit-address: 9
concurrency-limit-principal: 10
concurrency-limit-organization: 11
concurrency-limit-address: 12
trace-endpoint: http://127.0.0.1:4318
trace-sample: 0.25
bootstrap-password: password
bootstrap-organization-id: org
bootstrap-email: lost to the environment
`)
	if err != nil {
		t.Fatal(err)
	}
	c := serverConfig(k)
	for got, want := range map[string]string{
		c.DataDir: "/data", c.DatabaseURL: "postgres://db/weir", c.TLSCert: "cert.pem", c.TLSKey: "key.pem", fmt.Sprint(c.RateLimitPrincipal): "7",
		fmt.Sprint(c.RateLimitOrganization): "8", fmt.Sprint(c.RateLimitAddress): "9", fmt.Sprint(c.ConcurrencyLimitPrincipal): "10",
		c.Traces.Endpoint: "http://127.0.0.1:4318", fmt.Sprint(c.Traces.Sample): "0.25",
		fmt.Sprint(c.ConcurrencyLimitOrganization): "11", fmt.Sprint(c.ConcurrencyLimitAddress): "12",
		c.Bootstrap.APIKey: "key", c.Bootstrap.APISecret: "secret", c.Bootstrap.Email: "email", c.Bootstrap.Password: "password", c.Bootstrap.OrganizationID: "org",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestFilesWithMistakes(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"unknown key":               {"listen: 127.0.0.1:0\nlisten-on: x\n", `"listen-on"`},
		"key in capitals":           {"Listen: 127.0.0.1:0\n", `"Listen"`},
		"key as in the environment": {"WEIR_LISTEN: 127.0.0.1:0\n", `"WEIR_LISTEN"`},
		"nested key":                {"rate-limit:\n  principal: 3\n", `"rate-limit.principal"`},
		"another file":              {"config: other.yaml\n", `"config"`},
		"no YAML":                   {"listen: [\n", "weir.yaml"},
		"a list":                    {"- listen\n", "weir.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := settings(t, nil, nil, c.content)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--config") {
				t.Errorf("the error is %v, want one with %s", err, c.want)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	for name, where := range map[string]struct {
		flags       []string
		environment map[string]string
	}{
		"flag": {[]string{"--config", path}, nil}, "environment": {nil, map[string]string{"WEIR_CONFIG": path}},
	} {
		if _, err := settings(t, where.flags, where.environment, ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("by %s: the error is %v", name, err)
		}
	}
}

func TestTheFileCanBeNamedByTheEnvironment(t *testing.T) {
	path := writeFile(t, "weir.yaml", "public-url: https://file\n")
	k, err := settings(t, nil, map[string]string{"WEIR_CONFIG": path}, "")
	if err != nil || serverConfig(k).PublicURL != "https://file" {
		t.Errorf("the file was not read: %v", err)
	}
}

// The audit log goes into a file unless something else is said, or none.
func TestAuditSettings(t *testing.T) {
	for name, c := range map[string]struct {
		flags []string
		file  string
		want  []string
	}{
		"default":        {nil, "", []string{"file:audit/audit.jsonl"}},
		"two":            {[]string{"--audit-sink", "stdout:", "--audit-sink", "https://host/x"}, "", []string{"stdout:", "https://host/x"}},
		"none":           {[]string{"--audit-sink", "none"}, "", []string{}},
		"list in a file": {nil, "audit-sink: [stdout:, file:x]", []string{"stdout:", "file:x"}},
		"text in a file": {nil, `audit-sink: "stdout:,file:x"`, []string{"stdout:", "file:x"}},
	} {
		k, err := settings(t, c.flags, nil, c.file)
		if err != nil {
			t.Fatal(err)
		}
		if got := serverConfig(k).Audit.Sinks; !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	k, err := settings(t, []string{"--audit-max-size", "3", "--audit-file-size=2", "--audit-file-count", "4", "--audit-http-batch"}, map[string]string{
		"WEIR_AUDIT_RETENTION": "36h", "WEIR_AUDIT_CA": "ca.pem",
	}, "audit-file-age: 90m")
	if err != nil {
		t.Fatal(err)
	}
	a := serverConfig(k).Audit
	if a.Retain.Bytes != 3<<20 || a.Retain.Age != 36*time.Hour || a.FileBytes != 2<<20 || a.FileAge != 90*time.Minute || a.FileCount != 4 || !a.HTTPBatch || a.CAFile != "ca.pem" {
		t.Errorf("the settings are %+v", a)
	}
}

// A value that is no number or no truth value must not be taken for zero or
// false: rate limits and TLS would be off without a word.
func TestValuesOfAWrongType(t *testing.T) {
	for name, c := range map[string]struct {
		environment map[string]string
		file        string
		setting     string
	}{
		"number in the environment": {map[string]string{"WEIR_RATE_LIMIT_PRINCIPAL": "many"}, "", rateLimitPrincipal},
		"number with a unit":        {map[string]string{"WEIR_RATE_LIMIT_ADDRESS": "10/s"}, "", rateLimitAddress},
		"bool in the environment":   {map[string]string{"WEIR_TLS_SELF_SIGNED": "on"}, "", tlsSelfSigned},
		"part in words":             {map[string]string{"WEIR_TRACE_SAMPLE": "half"}, "", traceSample},
		"part in percent":           {nil, "trace-sample: 50%", traceSample},
		"part of more than all":     {nil, "trace-sample: 50", traceSample},
		"number in the file":        {nil, "rate-limit-principal: many", rateLimitPrincipal},
		"duration":                  {map[string]string{"WEIR_AUDIT_RETENTION": "30 days"}, "", auditRetention},
		"size with a unit":          {nil, "audit-max-size: 1GiB", auditMaxSize},
		"bool in the file":          {nil, `tls-self-signed: "enabled"`, tlsSelfSigned},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := settings(t, nil, c.environment, c.file)
			if err == nil {
				err = serverConfig(k).Check()
			}
			if err == nil || !strings.Contains(err.Error(), c.setting) {
				t.Errorf("the error is %v, want one that names %s", err, c.setting)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	for _, c := range []struct {
		level, format string
		// want is what is in the log of a debug and a warning line, or in the
		// error.
		debug, warn bool
		err         string
	}{
		{"info", "text", false, true, ""},
		{"debug", "json", true, true, ""},
		{"WARN", "text", false, true, ""},
		{"error", "json", false, false, ""},
		{"loud", "text", false, false, `--log-level "loud"`},
		{"", "text", false, false, `--log-level ""`},
		{"info", "xml", false, false, `--log-format "xml"`},
	} {
		k, err := settings(t, []string{"--log-level=" + c.level, "--log-format=" + c.format}, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		log, err := logger(k, &out)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s, %s: the error is %v", c.level, c.format, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("quiet")
		log.Log(t.Context(), slog.LevelWarn, "loud")
		if got := out.String(); strings.Contains(got, "quiet") != c.debug || strings.Contains(got, "loud") != c.warn {
			t.Errorf("%s: the log is %q", c.level, got)
		}
		if line, _, _ := strings.Cut(out.String(), "\n"); line != "" && json.Valid([]byte(line)) != (c.format == "json") {
			t.Errorf("%s: the line is %s", c.format, line)
		}
	}
}

// shown parses what 'weir config' printed.
func shown(t *testing.T, output string) map[string]any {
	t.Helper()
	parsed, err := yaml.Parser().Unmarshal([]byte(output))
	if err != nil {
		t.Fatalf("not YAML: %v\n%s", err, output)
	}
	return parsed
}

func TestConfigPrintsWhatServeWouldUse(t *testing.T) {
	t.Parallel()
	r := run(t, []string{"WEIR_RATE_LIMIT_PRINCIPAL=7", "WEIR_TRUSTED_PROXY=10.0.0.0/8,::1/128"}, "config", "--listen", "127.0.0.1:9")
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	got := shown(t, r.stdout)
	for name, want := range map[string]string{
		listen: "127.0.0.1:9", rateLimitPrincipal: "7", trustedProxy: "[10.0.0.0/8 ::1/128]", rateLimitAddress: "10",
		tlsSelfSigned: "false", logLevel: "info", dataDir: "./weir-data",
	} {
		if fmt.Sprint(got[name]) != want {
			t.Errorf("%s is %v, want %s", name, got[name], want)
		}
	}
}

func TestConfigCanBeReadBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ environment, args []string }{
		"defaults": {nil, nil},
		"everything": {
			[]string{"WEIR_BOOTSTRAP_API_KEY=ABCDEFGH01234567", "WEIR_BOOTSTRAP_EMAIL=o'brien@example.com", "WEIR_BOOTSTRAP_ORGANIZATION_ID=9bb441c4-edef-46ac-8a41-c49e44a3fd9a"},
			[]string{
				"--listen", "0.0.0.0:8443", "--trusted-proxy", "10.0.0.0/8", "--public-url", "https://weir.example.com", "--tls-self-signed", "--log-format", "json",
				"--audit-sink", "file:///var/log/audit.jsonl", "--audit-sink", "kafka://weir:hunter2@kafka.example.com:9092/t?tls=true", "--audit-retention", "36h",
				"--database-url", "postgres://weir:hunter2@db.example.com/weir?sslmode=verify-full", "--rate-limit-principal", "0", "--data-dir", "/tmp/a: b #c",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := run(t, c.environment, append([]string{"config"}, c.args...)...)
			if first.code != 0 {
				t.Fatalf("exit code %d: %s", first.code, first.stderr)
			}
			second := run(t, nil, "config", "--config", writeFile(t, "weir.yaml", first.stdout))
			if second.code != 0 || second.stdout != first.stdout {
				t.Errorf("read back, it is (exit code %d, %s)\n%s, was\n%s", second.code, second.stderr, second.stdout, first.stdout)
			}
		})
	}
}

func TestConfigMasksSecrets(t *testing.T) {
	t.Parallel()
	const password = "hunter2hunter2hunter2"
	for name, c := range map[string]struct {
		environment []string
		args        []string
	}{
		"bootstrap secret":                      {[]string{"WEIR_BOOTSTRAP_API_SECRET=" + password}, nil},
		"bootstrap password":                    {[]string{"WEIR_BOOTSTRAP_PASSWORD=" + password}, nil},
		"database password":                     {nil, []string{"--database-url", "postgres://weir:" + password + "@db.example.com/weir"}},
		"database password without a user":      {nil, []string{"--database-url", "postgres://:" + password + "@db.example.com/weir"}},
		"database password as a parameter":      {nil, []string{"--database-url", "postgres://weir@db.example.com/weir?sslmode=require&password=" + password}},
		"database password in a broken URL":     {nil, []string{"--database-url", "postgres://weir:100%" + password + "@db.example.com/weir"}},
		"database password with a hash":         {nil, []string{"--database-url", "postgres://weir:" + password + "#1@db.example.com/weir"}},
		"database password with a slash":        {nil, []string{"--database-url", "postgres://weir:1/" + password + "@db.example.com/weir"}},
		"password of an audit sink":             {nil, []string{"--audit-sink", "https://weir:" + password + "@collector.example.com/events"}},
		"token of an audit sink":                {nil, []string{"--audit-sink", "https://" + password + "@collector.example.com/events"}},
		"token of an audit sink as a parameter": {nil, []string{"--audit-sink", "https://collector.example.com/events?key=" + password}},
		"password of a Kafka audit sink":        {[]string{"WEIR_AUDIT_SINK=stdout:,kafka://weir:" + password + "@kafka.example.com:9092?tls=true&sasl=plain"}, nil},
		"password of a sink with a mistake":     {nil, []string{"--audit-sink", "https://weir:100%" + password + "@collector.example.com/"}},
		"password of the trace endpoint":        {nil, []string{"--trace-endpoint", "https://weir:" + password + "@traces.example.com"}},
		"token of the trace endpoint":           {[]string{"WEIR_TRACE_ENDPOINT=https://" + password + "@traces.example.com/v1/traces"}, nil},
		"password of a broken trace endpoint":   {nil, []string{"--trace-endpoint", "https://weir:100%" + password + "@traces.example.com"}},
		"database password in a DSN":            {nil, []string{"--database-url", "host=db.example.com password=" + password}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, c.environment, append([]string{"config"}, c.args...)...)
			if strings.Contains(r.stdout+r.stderr, password) {
				t.Fatalf("the secret is printed:\n%s%s", r.stdout, r.stderr)
			}
			if r.code == 0 && !strings.Contains(r.stdout, mask) {
				t.Errorf("nothing shows that there is a secret:\n%s", r.stdout)
			}
		})
	}
}

// The mask must not become the secret of who feeds the output to a server.
func TestTheMaskIsNoSecret(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"WEIR_BOOTSTRAP_API_SECRET", "WEIR_BOOTSTRAP_PASSWORD"} {
		first := run(t, []string{variable + "=hunter2hunter2hunter2"}, "config")
		if first.code != 0 {
			t.Fatalf("exit code %d: %s", first.code, first.stderr)
		}
		path := writeFile(t, "weir.yaml", first.stdout)
		second := run(t, nil, "config", "--config", path)
		if second.code == 0 && strings.Contains(second.stdout, mask) {
			t.Errorf("%s is now the mask:\n%s", variable, second.stdout)
		}
	}
}

func TestConfigReportsMistakes(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--trace-endpoint":                    {"--trace-endpoint", "127.0.0.1:4318"},
		"--trace-sample":                      {"--trace-sample", "2"},
		"--audit-sink":                        {"--audit-sink", "syslog://host"},
		"--audit-ca":                          {"--audit-ca", "missing.pem"},
		"twice":                               {"--audit-sink", "stdout:", "--audit-sink", "stdout:"},
		"negative":                            {"--audit-retention", "-1h"},
		"--tls-cert":                          {"--tls-cert", "x"},
		"--log-level":                         {"--log-level", "loud"},
		"--listen":                            {"--listen", "nonsense"},
		"--public-url":                        {"--public-url", "weir.example.com"},
		"--rate-limit-address is -1":          {"--rate-limit-address", "-1"},
		"--rate-limit-organization is -2":     {"--rate-limit-organization", "-2"},
		"--concurrency-limit-principal is -3": {"--concurrency-limit-principal", "-3"},
		"plain HTTP":                          {"--listen", "0.0.0.0:8080"},
	} {
		wantFailure(t, run(t, nil, append([]string{"config"}, args...)...), want)
	}
}
