// Package deploy_test holds what this folder has for operators to what it is
// read by, and to Weir itself.
package deploy_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/prometheus/common/model"

	"github.com/weirhq/weir/internal/server"
	"github.com/weirhq/weir/weirtest"
)

const chartPath = "helm/weir"

// serviceMonitor is what the chart uses of the Prometheus operator's resource.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		JobLabel  string               `json:"jobLabel"`
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port, Path, Interval, Scheme string
			TLSConfig                    struct{ ServerName string } `json:"tlsConfig"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// manifests renders the chart, and reads every manifest as the type that it says
// it is, with no field that the type does not have.
func manifests(t *testing.T, values string) map[string]any {
	t.Helper()
	c, err := loader.Load(chartPath)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &set); err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, set, chartutil.ReleaseOptions{Name: "prod", Namespace: "weir", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(c, all)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") || strings.TrimSpace(text) == "" {
			continue
		}
		var is metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(text), &is); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		types := map[string]any{
			"apps/v1 Deployment": &appsv1.Deployment{}, "apps/v1 StatefulSet": &appsv1.StatefulSet{}, "v1 Service": &corev1.Service{},
			"policy/v1 PodDisruptionBudget": &policyv1.PodDisruptionBudget{}, "networking.k8s.io/v1 Ingress": &networkingv1.Ingress{},
			"networking.k8s.io/v1 NetworkPolicy": &networkingv1.NetworkPolicy{}, "monitoring.coreos.com/v1 ServiceMonitor": &serviceMonitor{},
		}
		into := types[is.APIVersion+" "+is.Kind]
		if into == nil {
			t.Fatalf("%s is a %s %s", name, is.APIVersion, is.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		out[is.Kind] = into
	}
	return out
}

const (
	embedded = `{image: {repository: registry.example.com/weir, tag: v1}, publicURL: "https://weir.example.com", tls: {existingSecret: weir-tls}}`
	replicas = `
image: {repository: registry.example.com/weir}
publicURL: https://weir.example.com
replicas: 3
database: {existingSecret: weir-database}
tls: {existingSecret: weir-tls}
existingSecret: weir-settings
settings: {rate-limit-principal: 1000, tls-client-certificates: true}
ingress: {enabled: true, className: nginx, host: weir.example.com, tlsSecret: weir-tls, annotations: {a: b}}
networkPolicy: {enabled: true, from: [{podSelector: {matchLabels: {app: ingress}}}]}
serviceMonitor: {enabled: true}
imagePullSecrets: [{name: pull}]
podAnnotations: {a: b}
nodeSelector: {disk: ssd}
tolerations: [{key: a, operator: Exists}]
affinity: {podAntiAffinity: {}}
`
	proxied = `{image: {repository: weir}, publicURL: "https://weir.example.com", trustedProxies: [10.0.0.0/8]}`
)

func TestHelmLint(t *testing.T) {
	for name, values := range map[string]string{"embedded": embedded, "replicas": replicas, "proxied": proxied} {
		set := map[string]any{}
		if err := yaml.Unmarshal([]byte(values), &set); err != nil {
			t.Fatal(err)
		}
		// As 'helm lint --strict' does. That a chart has no icon is no more than a
		// remark.
		for _, m := range lint.All(chartPath, set, "weir", true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

func TestChart(t *testing.T) {
	one := manifests(t, embedded)
	set, ok := one["StatefulSet"].(*appsv1.StatefulSet)
	if !ok || len(one) != 2 {
		t.Fatalf("the embedded database has %v", one)
	}
	if len(set.Spec.VolumeClaimTemplates) != 1 || *set.Spec.Replicas != 1 || set.Spec.ServiceName != "prod-weir" {
		t.Errorf("the set is %+v", set.Spec)
	}
	pod := set.Spec.Template.Spec
	c := pod.Containers[0]
	if c.Image != "registry.example.com/weir:v1" || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation || !*pod.SecurityContext.RunAsNonRoot ||
		*pod.AutomountServiceAccountToken || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Scheme != "HTTPS" {
		t.Errorf("the pod is %+v", pod)
	}

	many := manifests(t, replicas)
	deployment, ok := many["Deployment"].(*appsv1.Deployment)
	if !ok || len(many) != 6 {
		t.Fatalf("replicas have %v", many)
	}
	if *deployment.Spec.Replicas != 3 || *deployment.Spec.Strategy.RollingUpdate.MaxUnavailable != intstr.FromInt32(0) {
		t.Errorf("the deployment is %+v", deployment.Spec)
	}
	environment := map[string]corev1.EnvVar{}
	for _, v := range deployment.Spec.Template.Spec.Containers[0].Env {
		environment[v.Name] = v
	}
	if environment["WEIR_RATE_LIMIT_PRINCIPAL"].Value != "1000" || environment["WEIR_TLS_CLIENT_CERTIFICATES"].Value != "true" || environment["WEIR_DATABASE_URL"].ValueFrom.SecretKeyRef.Name != "weir-database" {
		t.Errorf("the environment is %+v", environment)
	}
	if of := environment["GOMEMLIMIT"].ValueFrom; of == nil || of.ResourceFieldRef.Resource != "limits.memory" {
		t.Errorf("the server does not know its limit of memory: %+v", of)
	}
	service, _ := many["Service"].(*corev1.Service)
	for key, value := range service.Spec.Selector {
		if deployment.Spec.Template.Labels[key] != value {
			t.Errorf("the service looks for %s=%s, which pods have not", key, value)
		}
	}
	behind, _ := manifests(t, strings.TrimSuffix(proxied, "}")+", resources: {limits: {memory: null}}}")["StatefulSet"].(*appsv1.StatefulSet)
	for _, v := range behind.Spec.Template.Spec.Containers[0].Env {
		if v.Name == "GOMEMLIMIT" {
			t.Errorf("without a limit of memory there is one of %+v", v)
		}
	}
	if behind.Spec.Template.Spec.Containers[0].ReadinessProbe.HTTPGet.Scheme != "HTTP" {
		t.Error("a server behind a proxy is asked over HTTPS")
	}
}

// What would not start, or would lose data, is refused before it is installed.
func TestChartRefuses(t *testing.T) {
	for name, values := range map[string]string{
		"replicas without PostgreSQL": `{image: {repository: a}, publicURL: "https://a.example", replicas: 2, tls: {existingSecret: a}}`,
		"neither TLS nor proxy":       `{image: {repository: a}, publicURL: "https://a.example"}`,
		"no image":                    `{publicURL: "https://a.example", tls: {existingSecret: a}}`,
		"no URL":                      `{image: {repository: a}, tls: {existingSecret: a}}`,
		"a value that is none":        `{image: {repository: a}, publicURL: "https://a.example", tls: {existingSecret: a}, replica: 2}`,
		"a secret in plain":           `{image: {repository: a}, publicURL: "https://a.example", tls: {existingSecret: a}, settings: {smtp-url: "smtp://a:b@c"}}`,
		"metrics behind a proxy":      `{image: {repository: a}, publicURL: "https://a.example", trustedProxies: [10.0.0.0/8], serviceMonitor: {enabled: true}}`,
	} {
		c, err := loader.Load(chartPath)
		if err != nil {
			t.Fatal(err)
		}
		set := map[string]any{}
		if err := yaml.Unmarshal([]byte(values), &set); err != nil {
			t.Fatal(err)
		}
		all, err := chartutil.ToRenderValues(c, set, chartutil.ReleaseOptions{Name: "a", Namespace: "a"}, chartutil.DefaultCapabilities)
		if err == nil {
			_, err = engine.Render(c, all)
		}
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

var metric = regexp.MustCompile(`\b(weir_\w+|go_\w+|process_\w+)`)

// expressions are those of the rules and of the dashboard.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	content, err := os.ReadFile("prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	groups, problems := rulefmt.Parse(content, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range problems {
		t.Error(err)
	}
	operations, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			out[r.Alert] = r.Expr
			_, anchor, _ := strings.Cut(r.Annotations["runbook"], "#")
			heading := "(?mi)^## " + strings.ReplaceAll(regexp.QuoteMeta(anchor), "-", "[ -]") + "$"
			if anchor == "" || !regexp.MustCompile(heading).Match(operations) {
				t.Errorf("%s: docs/operations.md has no section #%s", r.Alert, anchor)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s says too little", r.Alert)
			}
		}
	}
	encoded, err := os.ReadFile("grafana/weir.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title, Description, Type string
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(encoded, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		if p.Type != "row" && (len(p.Targets) == 0 || p.Description == "") {
			t.Errorf("the panel %q shows nothing, or does not say what", p.Title)
		}
		for _, target := range p.Targets {
			out["panel "+p.Title+" "+target.Expr] = strings.NewReplacer("$__rate_interval", "5m", "$job", "weir", "$instance", ".*").Replace(target.Expr)
		}
	}
	return out
}

// Every expression can be read, and asks for metrics that Weir has.
func TestExpressions(t *testing.T) {
	s := weirtest.Start(t, weirtest.WithConfig(func(c *server.Config) { c.Audit.Sinks = []string{"file:audit/audit.jsonl"} }))
	s.Do("GET", "/org/v2/environments", nil)
	all := expressions(t)
	if len(all) < 25 {
		t.Errorf("there are %d expressions", len(all))
	}
	unknown := func() []string {
		served := string(s.Do("GET", "/metrics", nil).Raw)
		var found []string
		for name, expression := range all {
			for _, m := range metric.FindAllString(expression, -1) {
				if !strings.Contains(served, "# TYPE "+strings.TrimSuffix(m, "_bucket")+" ") {
					found = append(found, name+": Weir has no metric "+m)
				}
			}
		}
		return found
	}
	missing := unknown()
	// What a sink is behind by is not known before it has looked once.
	for end := time.Now().Add(30 * time.Second); len(missing) > 0 && time.Now().Before(end); missing = unknown() {
		time.Sleep(20 * time.Millisecond)
	}
	for _, m := range missing {
		t.Error(m)
	}
	for name, expression := range all {
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(expression); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The unit and the chart set what 'weir serve' knows.
func TestSettingsExist(t *testing.T) {
	command := exec.CommandContext(t.Context(), "go", "run", "./cmd/weir", "serve", "--help")
	command.Dir = ".."
	help, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, help)
	}
	var files []string
	for _, pattern := range []string{"systemd/*", "helm/weir/templates/*", "helm/weir/values.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	named := regexp.MustCompile(`WEIR_[A-Z][A-Z_]*[A-Z]`)
	count := 0
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllString(string(content), -1) {
			if slices.Contains([]string{"WEIR_NAME"}, name) {
				continue
			}
			count++
			flag := "--" + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "WEIR_")), "_", "-")
			if !strings.Contains(string(help), flag) && !strings.Contains(string(help), name) {
				t.Errorf("%s sets %s, which 'weir serve' does not know", path, name)
			}
		}
	}
	if count < 10 {
		t.Errorf("%d settings were found", count)
	}
}

// systemd reads the unit, where it is there to do so, and every line is one that
// a unit has.
func TestUnit(t *testing.T) {
	content, err := os.ReadFile("systemd/weir.service")
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	for i, line := range strings.Split(string(content), "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = line
		case !regexp.MustCompile(`^[A-Z]\w*=`).MatchString(line) || section == "":
			t.Errorf("line %d is %q", i+1, line)
		}
	}
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("NOT CHECKED BY SYSTEMD: there is no systemd-analyze on this machine")
		return
	}
	out, err := exec.CommandContext(t.Context(), program, "verify", "systemd/weir.service").CombinedOutput()
	if text := string(out); err != nil && !strings.Contains(text, "is not executable") {
		t.Errorf("%v: %s", err, text)
	}
}
