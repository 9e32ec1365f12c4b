package terraform_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	envTerraform = "TERRAFORM"
	envProvider  = "TERRAFORM_PROVIDER_CONFLUENT"
	envRequired  = "WEIR_REQUIRE_TERRAFORM"
	// envConfig names the file that Terraform itself is configured by.
	envConfig = "TF_CLI_CONFIG_FILE"

	providerName = "terraform-provider-confluent"
)

// tools are the two programs that the tests drive.
type tools struct{ terraform, provider string }

// findTools returns the programs. Where one is missing the test is skipped,
// or fails if WEIR_REQUIRE_TERRAFORM is 1.
func findTools(t *testing.T) tools {
	t.Helper()
	found, err := locate(os.Getenv)
	if err != nil {
		if os.Getenv(envRequired) == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return found
}

func locate(getenv func(string) string) (tools, error) {
	terraform, terraformErr := findTerraform(getenv)
	provider, providerErr := findProvider(getenv)
	return tools{terraform, provider}, errors.Join(terraformErr, providerErr)
}

func findTerraform(getenv func(string) string) (string, error) {
	name := getenv(envTerraform)
	if name == "" {
		name = "terraform"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("terraform is missing (%w): install it, or set %s to the program", err, envTerraform)
	}
	return filepath.Abs(path)
}

var override = regexp.MustCompile(`(?m)^[^#\n]*"(?:registry\.terraform\.io/)?confluentinc/confluent"\s*=\s*"([^"]+)"`)

// findProvider takes the program that the environment names, or looks into the
// folder that a dev_overrides block of the user's configuration names.
func findProvider(getenv func(string) string) (string, error) {
	if path := getenv(envProvider); path != "" {
		if !executable(path) {
			return "", fmt.Errorf("the provider is missing: %s=%s is no program", envProvider, path)
		}
		return filepath.Abs(path)
	}
	config := getenv(envConfig)
	if config == "" {
		config = filepath.Join(getenv("HOME"), ".terraformrc")
	}
	content, _ := os.ReadFile(config) // a file that is not there overrides nothing
	if m := override.FindSubmatch(content); m != nil {
		for _, pattern := range []string{providerName, providerName + "_*"} {
			paths, _ := filepath.Glob(filepath.Join(string(m[1]), pattern))
			for _, path := range paths {
				if executable(path) {
					return filepath.Abs(path)
				}
			}
		}
	}
	return "", fmt.Errorf("the provider is missing: build confluentinc/%s with 'go build', or take the program from a release of it, and set %s to its path, or name its folder in a dev_overrides block of %s", providerName, envProvider, config)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

func TestLocate(t *testing.T) {
	t.Parallel()
	home, folder := t.TempDir(), t.TempDir()
	program := func(dir, name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := func(text string) string {
		path := filepath.Join(t.TempDir(), "rc")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	terraform := program(home, "tf", 0o700)
	released := program(folder, providerName+"_2.0.0", 0o700)
	text := program(home, "text", 0o600)
	overriding := config("provider_installation {\n  dev_overrides {\n    \"confluentinc/confluent\" = \"" + folder + "\"\n  }\n}\n")
	for name, test := range map[string]struct {
		environment map[string]string
		provider    string
		missing     []string
	}{
		"named":           {map[string]string{envTerraform: terraform, envProvider: released}, released, nil},
		"overridden":      {map[string]string{envTerraform: terraform, envConfig: overriding}, released, nil},
		"named wins":      {map[string]string{envTerraform: terraform, envProvider: terraform, envConfig: overriding}, terraform, nil},
		"commented out":   {map[string]string{envTerraform: terraform, envConfig: config("# \"confluentinc/confluent\" = \"" + folder + "\"\n")}, "", []string{envProvider, "dev_overrides"}},
		"another":         {map[string]string{envTerraform: terraform, envConfig: config("\"hashicorp/aws\" = \"" + folder + "\"\n")}, "", []string{envProvider}},
		"empty folder":    {map[string]string{envTerraform: terraform, envConfig: config("\"confluentinc/confluent\" = \"" + t.TempDir() + "\"\n")}, "", []string{envProvider}},
		"no such program": {map[string]string{envTerraform: terraform, envProvider: filepath.Join(home, "none")}, "", []string{envProvider, "none"}},
		"not a program":   {map[string]string{envTerraform: terraform, envProvider: text}, "", []string{envProvider, text}},
		"neither":         {map[string]string{envTerraform: filepath.Join(home, "none"), "HOME": home}, "", []string{envTerraform, envProvider}},
	} {
		found, err := locate(func(name string) string { return test.environment[name] })
		if (err != nil) != (test.missing != nil) || found.provider != test.provider {
			t.Errorf("%s: %+v, %v, want %q", name, found, err, test.provider)
		}
		for _, word := range test.missing {
			if err != nil && !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v does not name %s", name, err, word)
			}
		}
	}
}
