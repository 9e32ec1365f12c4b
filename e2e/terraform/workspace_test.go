package terraform_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirhq/weir/weirtest"
)

// workspace is a folder with a copy of a configuration and its state.
type workspace struct {
	t      *testing.T
	tools  tools
	dir    string
	config string
	weir   *weirtest.Server
	// secret is that of the API key which an import brings in.
	secret string
	// keyless leaves the API key out of the environment.
	keyless bool
}

// newWorkspace copies the configuration of the folder, so that the state of
// who tries it by hand is not touched.
func newWorkspace(t *testing.T, tools tools, w *weirtest.Server, configuration string) *workspace {
	t.Helper()
	ws := &workspace{t: t, tools: tools, dir: t.TempDir(), weir: w}
	files, err := filepath.Glob(filepath.Join(configuration, "*.tf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no configuration: %v", configuration, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ws.write(filepath.Base(file), string(content))
	}
	// Terraform looks for the provider by its name in a folder.
	programs := t.TempDir()
	if err := os.Symlink(tools.provider, filepath.Join(programs, providerName)); err != nil {
		t.Fatal(err)
	}
	ws.config = filepath.Join(programs, "terraform.rc")
	content := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"confluentinc/confluent\" = %q\n  }\n  direct {}\n}\n", programs)
	if err := os.WriteFile(ws.config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return ws
}

func (ws *workspace) write(name, content string) {
	ws.t.Helper()
	if err := os.WriteFile(filepath.Join(ws.dir, name), []byte(content), 0o600); err != nil {
		ws.t.Fatal(err)
	}
}

// run runs Terraform to its end and returns its exit code with what it wrote.
func (ws *workspace) run(args ...string) (code int, stdout, stderr string) {
	ws.t.Helper()
	cmd := exec.CommandContext(ws.t.Context(), ws.tools.terraform, args...)
	cmd.Dir = ws.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + ws.dir,
		envConfig + "=" + ws.config, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0",
		"TF_ACC=1", // the provider waits a second where it would wait a minute
		"TF_VAR_endpoint=" + ws.weir.URL,
		"API_KEY_SECRET=" + ws.secret,
	}
	if !ws.keyless {
		cmd.Env = append(cmd.Env, "CONFLUENT_CLOUD_API_KEY="+ws.weir.APIKey, "CONFLUENT_CLOUD_API_SECRET="+ws.weir.APISecret)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ws.t.Fatalf("terraform %v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// must runs Terraform, which must succeed, and returns its standard output.
func (ws *workspace) must(args ...string) string {
	ws.t.Helper()
	code, stdout, stderr := ws.run(args...)
	if code != 0 {
		ws.t.Fatalf("terraform %v: exit code %d\n%s\n%s", args, code, stdout, stderr)
	}
	return stdout
}

// apply makes what the configuration says; the summary must be this.
func (ws *workspace) apply(summary string, options ...string) {
	ws.t.Helper()
	out := ws.must(append([]string{"apply", "-auto-approve", "-no-color"}, options...)...)
	if !strings.Contains(out, "Apply complete! Resources: "+summary) {
		ws.t.Fatalf("not %q:\n%s", summary, out)
	}
}

// settled checks that there is nothing left to do.
func (ws *workspace) settled(options ...string) {
	ws.t.Helper()
	code, stdout, stderr := ws.run(append([]string{"plan", "-detailed-exitcode", "-no-color"}, options...)...)
	if code != 0 {
		ws.t.Fatalf("there is something to do after apply: exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

// resource is one of the objects in the state.
type resource struct {
	Address, Mode string
	Values        map[string]any
}

func (r resource) id() string { return fmt.Sprint(r.Values["id"]) }

// importID is what the provider imports the resource by: its ID, behind that of
// what contains it where the provider asks for both.
func (r resource) importID() string {
	for _, container := range []string{"certificate_authority", "identity_provider", "environment"} {
		in, _ := r.Values[container].([]any)
		if len(in) == 1 && (container != "environment" || strings.HasPrefix(r.Address, "confluent_provider_integration")) {
			return fmt.Sprint(in[0].(map[string]any)["id"]) + "/" + r.id()
		}
	}
	return r.id()
}

// state returns the outputs, and what the configuration made.
func (ws *workspace) state() (outputs map[string]any, made []resource) {
	ws.t.Helper()
	var state struct {
		Values struct {
			Outputs    map[string]struct{ Value any }
			RootModule struct {
				Resources []resource
			} `json:"root_module"`
		}
	}
	if err := json.Unmarshal([]byte(ws.must("show", "-json")), &state); err != nil {
		ws.t.Fatal(err)
	}
	outputs = map[string]any{}
	for name, output := range state.Values.Outputs {
		outputs[name] = output.Value
	}
	for _, r := range state.Values.RootModule.Resources {
		if r.Mode == "managed" {
			made = append(made, r)
		}
	}
	return outputs, made
}

// importBlocks is a configuration that takes the objects into a fresh state.
func importBlocks(made []resource) string {
	var b strings.Builder
	for _, r := range made {
		fmt.Fprintf(&b, "import {\n  to = %s\n  id = %q\n}\n\n", r.Address, r.importID())
	}
	return b.String()
}
