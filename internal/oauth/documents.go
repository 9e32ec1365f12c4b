package oauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// KeysPath is where the keys of Weir's own tokens are published, and
// configurationPath where what there is to know of the issuer is.
const (
	KeysPath          = "/.well-known/jwks.json"
	configurationPath = "/.well-known/openid-configuration"
)

// cacheSeconds is how long others may keep the published documents. A key is
// published for weeks before it signs.
const cacheSeconds = 3600

// Documents are what others need to check the tokens that the Service gives
// out, by their paths. fail answers with an error.
func (s *Service) Documents(fail func(http.ResponseWriter, *http.Request, error)) map[string]http.Handler {
	document := func(of func(*http.Request) (any, error)) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v, err := of(r)
			if err != nil {
				fail(w, r, err)
				return
			}
			body, err := json.Marshal(v)
			if err != nil {
				fail(w, r, fmt.Errorf("oauth: encode a document: %w", err))
				return
			}
			h := w.Header()
			h.Set("Content-Type", "application/json")
			h.Set("Content-Length", strconv.Itoa(len(body)))
			h.Set("Cache-Control", "public, max-age="+strconv.Itoa(cacheSeconds))
			_, _ = w.Write(body) // a client that went away is no concern of ours
		})
	}
	return map[string]http.Handler{
		KeysPath: document(func(r *http.Request) (any, error) { return s.config.SigningKeys.Set(r.Context()) }),
		configurationPath: document(func(*http.Request) (any, error) {
			return map[string]any{
				"issuer":                                s.config.PublicURL,
				"jwks_uri":                              s.config.PublicURL + KeysPath,
				"token_endpoint":                        s.config.PublicURL + "/sts/v1/oauth2/token",
				"grant_types_supported":                 []string{grantType},
				"token_endpoint_auth_methods_supported": []string{"none"},
				"response_types_supported":              []string{},
				"subject_types_supported":               []string{"public"},
				"id_token_signing_alg_values_supported": []string{"ES256"},
			}, nil
		}),
	}
}
