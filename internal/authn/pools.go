package authn

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// PoolHeader names the identity pools that credentials from outside are used
// with, a token of an identity provider or a certificate: their IDs, separated by
// commas. Without it they are used with every pool that lets them in.
const PoolHeader = "Confluent-Identity-Pool-Id"

const (
	maxPoolID = 64
	// maxNamed is how many pools a request may name.
	maxNamed = 20
)

// NamedPools reads the lines of PoolHeader. shape reports whether a text could be
// the ID of a pool. Empty parts do not count. The error is for the client.
func NamedPools(h http.Header, shape func(id string) bool) ([]string, error) {
	var ids []string
	for _, line := range h.Values(PoolHeader) {
		for id := range strings.SplitSeq(line, ",") {
			id = strings.TrimSpace(id)
			switch {
			case id == "" || slices.Contains(ids, id):
			case len(id) > maxPoolID || !shape(id):
				return nil, fmt.Errorf("the header %s holds something that is no ID of an identity pool for such credentials", PoolHeader)
			case len(ids) == maxNamed:
				return nil, fmt.Errorf("the header %s names more than %d identity pools", PoolHeader, maxNamed)
			default:
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}
