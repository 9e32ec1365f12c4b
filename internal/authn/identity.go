package authn

// Identity is who stands behind a caller that is an identity pool: somebody
// known to an identity provider.
type Identity struct {
	// Provider is the ID of the identity provider, Issuer its URL.
	Provider string `json:"provider"`
	Issuer   string `json:"issuer"`
	// Claim names the claim of the provider's token that tells identities apart,
	// and Subject is its value.
	Claim   string `json:"claim"`
	Subject string `json:"subject"`
	// Audience is whom the provider's token was for, as far as it says.
	Audience []string `json:"audience,omitempty"`
	// Pools are the identity pools that the caller acts for, the principal first.
	Pools []string `json:"pools"`
	// Admission is a digest of what decided that the pool let the identity in, for
	// a token that was exchanged.
	Admission string `json:"admission,omitempty"`
}
