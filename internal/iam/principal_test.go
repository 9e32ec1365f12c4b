package iam

import (
	"testing"
)

func TestPrincipalOf(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"u-abc123": userID.Key, "u-a": userID.Key, "sa-abc123": serviceAccountID.Key,
		"": "", "u-": "", "sa-": "", "u-ABC123": "", "pool-AbC123": identityPoolID.Key, "pool-AbC12345": certificatePoolID.Key, "pool-AbC1": "", "pool-": "", "pool-a_b": "", "group-AbC1": groupMappingID.Key, "env-abc123": "", "User:u-abc123": "", "u-abc123/x": "", "u-abc\x00": "",
	} {
		p, ok := principalOf(id)
		if p.Key != want || ok != (want != "") {
			t.Errorf("%q is a %q, %v, want %q", id, p.Key, ok, want)
		}
	}
	for _, p := range []principal{userID, serviceAccountID, groupMappingID, identityPoolID, certificatePoolID} {
		if got, ok := principalOf(p.ID.New()); !ok || got != p {
			t.Errorf("a new ID of %s belongs to %+v", p.Key, got)
		}
	}
}
