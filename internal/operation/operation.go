// Package operation holds the public operations of the Confluent Cloud APIs
// as data: one row for each method and path, whether Weir serves it or not,
// and a router that finds the row for a request.
//
// The table is the file operations.tsv, sorted by path and then by method. It
// says what the published API documents say of an operation and nothing about
// Weir itself; what is served is decided where the handlers are put together,
// and the rest answers 501.
//
// Two things in the table are not as published. The Metrics API names no
// operations, so those identifiers (listMetricsV2Attributes and so on) are
// Weir's own. And listConnectv1ConnectorsWithExpansions has no row: it is
// listConnectv1Connectors with the query parameter expand, on the same path.
//
// The scopes that a token must have stand in parentheses behind its kind. The
// published document of the partner's organizations names a scope,
// marketplace::describe, that its own list of scopes does not have: the table
// has partner:describe.
package operation

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The stages of an API's life, from the least to the most dependable, and the
// one after. An API with no stage of its own is GenerallyAvailable.
const (
	EarlyAccess         = "Early Access"
	Preview             = "Preview"
	LimitedAvailability = "Limited Availability"
	GenerallyAvailable  = "Generally Available"
	Deprecated          = "Deprecated"
)

// The kinds of credentials that an operation may accept.
const (
	// APIKey is how older documents write a key for management operations: it
	// means a Cloud API key or a Global API key.
	APIKey = "api-key"
	// CloudAPIKey belongs to a user or service account and opens management
	// operations.
	CloudAPIKey = "cloud-api-key"
	// GlobalAPIKey opens management operations and resources alike.
	GlobalAPIKey = "global-api-key"
	// ResourceAPIKey opens one resource: a Kafka cluster, a Schema Registry, a
	// Flink region and so on.
	ResourceAPIKey = "resource-api-key"
	// STSToken is an access token that POST /sts/v1/oauth2/token gave out.
	STSToken = "confluent-sts-access-token"
	// ExternalToken is a token of the organization's own identity provider.
	ExternalToken = "external-access-token"
	// PartnerToken is a token of a partner, for the partner group alone.
	PartnerToken = "confluent-partner-access-token"
	// Session is the signed-in session of a user of the console or the CLI.
	Session = "confluent_auth"
)

// Operation is one public operation.
type Operation struct {
	// ID is the operation's identifier in the published documents, unique in
	// the table, for example "listIamV2ServiceAccounts".
	ID string
	// Method is GET, POST, PUT, PATCH or DELETE.
	Method string
	// Path is the path template, for example "/iam/v2/users/{id}".
	Path string
	// Group and Version are the API group and its version: "iam" and "v2".
	// They come from the operation's tag, which the path mostly repeats. Where
	// the tag names no group it is the first segment of the path, or
	// "schema-registry", "metrics" or "iam".
	Group, Version string
	// Resource is the title of what is operated on: "Service Accounts".
	Resource string
	// Lifecycle is one of the stages above.
	Lifecycle string
	// Success is the status code of the answer when all went well.
	Success int
	// Credentials are the kinds of credentials of which one must be sent,
	// sorted; none means that the operation asks for no credentials.
	Credentials []string
	// Scopes are what a token must be good for besides, of those credentials that
	// have scopes; none for most operations.
	Scopes []string
	// Deprecated is the day (UTC) on which the operation was declared
	// deprecated and Sunset the day it is withdrawn, or zero.
	Deprecated, Sunset time.Time
}

// API returns the group and version as they are written in documents:
// "iam/v2".
func (o Operation) API() string { return o.Group + "/" + o.Version }

// Tag returns the name under which a document groups the operation:
// "Service Accounts (iam/v2)".
func (o Operation) Tag() string { return o.Resource + " (" + o.API() + ")" }

//go:embed operations.tsv
var file string

var columns = []string{
	"id", "method", "path", "group", "version", "resource", "lifecycle",
	"success", "credentials", "deprecated", "sunset",
}

type table struct {
	rows []Operation
	byID map[string]int
}

var load = sync.OnceValue(func() table {
	rows, err := parse(file)
	if err != nil {
		// The file is part of the program and a test parses it.
		panic("operation: " + err.Error())
	}
	byID := make(map[string]int, len(rows))
	for i, o := range rows {
		byID[o.ID] = i
	}
	return table{rows, byID}
})

// All returns every operation, sorted by path and then by method, both byte
// by byte. The slice is the caller's own, but the Credentials in it are
// shared and must not be changed.
func All() []Operation { return slices.Clone(load().rows) }

// ByID returns the operation with the identifier, and whether there is one.
func ByID(id string) (Operation, bool) {
	t := load()
	i, ok := t.byID[id]
	if !ok {
		return Operation{}, false
	}
	return t.rows[i], true
}

// parse reads tab-separated rows under a header row. It checks the form of a
// row; what the rows must be to each other is for tests.
func parse(text string) ([]Operation, error) {
	header, rest, _ := strings.Cut(text, "\n")
	if header != strings.Join(columns, "\t") {
		return nil, fmt.Errorf("the header row is %q, want the columns %s", header, strings.Join(columns, ", "))
	}
	ops := make([]Operation, 0, strings.Count(rest, "\n"))
	line := 1
	for row := range strings.Lines(rest) {
		line++
		o, err := parseRow(strings.TrimSuffix(row, "\n"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		ops = append(ops, o)
	}
	return ops, nil
}

func parseRow(row string) (Operation, error) {
	f := strings.Split(row, "\t")
	if len(f) != len(columns) {
		return Operation{}, fmt.Errorf("%d columns, want %d", len(f), len(columns))
	}
	o := Operation{
		ID: f[0], Method: f[1], Path: f[2], Group: f[3], Version: f[4],
		Resource: f[5], Lifecycle: f[6],
	}
	var err error
	if o.Success, err = strconv.Atoi(f[7]); err != nil {
		return Operation{}, fmt.Errorf("success code: %w", err)
	}
	if f[8] != "" {
		for credential := range strings.SplitSeq(f[8], ",") {
			name, scopes, scoped := strings.Cut(credential, "(")
			o.Credentials = append(o.Credentials, name)
			if scoped {
				o.Scopes = strings.Fields(strings.TrimSuffix(scopes, ")"))
			}
		}
	}
	if o.Deprecated, err = parseDay(f[9]); err != nil {
		return Operation{}, fmt.Errorf("deprecated: %w", err)
	}
	if o.Sunset, err = parseDay(f[10]); err != nil {
		return Operation{}, fmt.Errorf("sunset: %w", err)
	}
	return o, nil
}

func parseDay(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.DateOnly, s)
}
