// Package conformance holds Weir to the vendor's own OpenAPI documents, which
// come with the modules of the official Go SDK.
//
// It does so in two ways. [Validator] looks at every answer that a client gets
// from a running server; [Compare] looks at what Weir's own document promises.
// Differences that are meant are in one table, [Tolerances], each with its
// reason; docs/divergences.md tells of them in prose.
package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Source is where one document is: in a module that go.mod requires, in the
// folder of an API version.
type Source struct{ Module, Version string }

const sdk = "github.com/confluentinc/ccloud-sdk-go-v2/"

// Sources returns the documents of the API groups that Weir serves, sorted by
// module.
func Sources() []Source {
	return []Source{
		{sdk + "apikeys", "v2"},
		{sdk + "certificate-authority", "v2"},
		{sdk + "iam", "v2"},
		{sdk + "iam-ip-filtering", "v2"},
		{sdk + "identity-provider", "v2"},
		{sdk + "mds", "v2"},
		{sdk + "org", "v2"},
		{sdk + "provider-integration", "v1"},
		{sdk + "provider-integration", "v2"},
		{sdk + "service-quota", "v1"},
		{sdk + "sso", "v2"},
		{sdk + "sts", "v1"},
		{sdk + "tableflow", "v1"},
	}
}

// Documents loads the documents of all [Sources], in their order.
func Documents(ctx context.Context) ([]*openapi3.T, error) {
	var docs []*openapi3.T
	for _, s := range Sources() {
		doc, err := s.Load(ctx)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

// Load finds the module in the module cache and reads its document. It runs
// the go command in the current directory, which must be in the e2e module.
func (s Source) Load(ctx context.Context) (*openapi3.T, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", s.Module)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("find module %s: %w: %s", s.Module, err, bytes.TrimSpace(stderr.Bytes()))
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return nil, fmt.Errorf("find module %s: %w", s.Module, errNotDownloaded)
	}
	file := filepath.Join(dir, s.Version, "api", "openapi.yaml")
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the document of %s: %w", s.Module, err)
	}
	return doc, nil
}

var errNotDownloaded = errors.New("it is not in the module cache; run 'go mod download' in the e2e module")
