package cloudaccess

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

const (
	googleCredentials = "https://iamcredentials.googleapis.com"
	googleScope       = "https://www.googleapis.com/auth/cloud-platform"
	// maxGoogleAnswer bounds what is read of an answer, in bytes.
	maxGoogleAnswer = 64 << 10
)

type iamCredentials struct {
	tokens   oauth2.TokenSource
	endpoint string
	http     *http.Client
}

// NewGoogle returns what asks Google's IAM Service Account Credentials API, with
// the application default credentials of this process. endpoint replaces the
// service's own URL where it is not "". It returns an error where there are no
// such credentials; nothing is asked of the customer's project yet.
func NewGoogle(ctx context.Context, endpoint string, client *http.Client) (Google, error) {
	found, err := google.FindDefaultCredentials(context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, client), googleScope)
	if err != nil {
		return nil, fmt.Errorf("find Google's application default credentials: %w", err)
	}
	if endpoint == "" {
		endpoint = googleCredentials
	}
	return &iamCredentials{found.TokenSource, strings.TrimRight(endpoint, "/"), client}, nil
}

func (g *iamCredentials) Impersonate(ctx context.Context, own, customer string) error {
	token, err := g.tokens.Token()
	if err != nil {
		return fmt.Errorf("get a token for this server's own credentials: %w", err)
	}
	body, err := json.Marshal(map[string]any{
		"delegates": []string{"projects/-/serviceAccounts/" + own},
		"scope":     []string{googleScope},
		"lifetime":  "300s",
	})
	if err != nil {
		return fmt.Errorf("ask Google: %w", err)
	}
	address := g.endpoint + "/v1/projects/-/serviceAccounts/" + url.PathEscape(customer) + ":generateAccessToken"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask Google: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	token.SetAuthHeader(r)
	answer, err := g.http.Do(r)
	if err != nil {
		return fmt.Errorf("ask Google: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound:
		return &Refused{
			Reason: "Google Cloud does not let " + own + " impersonate " + customer + "; both must exist, and the first have the role Service Account Token Creator on the second",
			Err:    googleError(answer),
		}
	default:
		return googleError(answer)
	}
}

// googleError is what an answer says is wrong, without any token.
func googleError(answer *http.Response) error {
	var said struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxGoogleAnswer))
	if err != nil || json.Unmarshal(body, &said) != nil {
		return fmt.Errorf("google answers %s", answer.Status)
	}
	return fmt.Errorf("google answers %s: %s: %s", answer.Status, said.Error.Status, said.Error.Message)
}
