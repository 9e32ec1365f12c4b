package cloudaccess

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// Names of the clouds in Options.Ask.
const (
	askAWS   = "aws"
	askAzure = "azure"
	askGCP   = "gcp"
)

// Options are what an operator says of the clouds.
type Options struct {
	// Identity is who Weir is; what is empty is a placeholder.
	Identity
	// Ask names the clouds that are asked: aws, azure, gcp. The others are not.
	Ask []string
	// AzureClientSecret is a client secret of the application; asking Azure needs
	// it. AWS and Google are asked with the credentials that their libraries find.
	AzureClientSecret string
	// AWSSTSURL, AzureAuthorityURL and GCPCredentialsURL replace the clouds' own
	// URLs where they are not empty. Credentials are sent there.
	AWSSTSURL, AzureAuthorityURL, GCPCredentialsURL string
}

// Check reports what is wrong, in words for the operator.
func (o Options) Check() error {
	if err := o.Identity.Check(); err != nil {
		return fmt.Errorf("--aws-account-id, --azure-app-id, --gcp-project: %w", err)
	}
	for _, name := range o.Ask {
		if !slices.Contains([]string{askAWS, askAzure, askGCP}, name) {
			return fmt.Errorf("--cloud-check %q is none of aws, azure, gcp", name)
		}
	}
	if slices.Contains(o.Ask, askAzure) && o.AzureClientSecret == "" {
		return errors.New("--cloud-check azure needs azure-client-secret, in the file or as WEIR_AZURE_CLIENT_SECRET: a client secret of the application that --azure-app-id names")
	}
	for flag, text := range map[string]string{"--aws-sts-url": o.AWSSTSURL, "--azure-authority-url": o.AzureAuthorityURL, "--gcp-credentials-url": o.GCPCredentialsURL} {
		if text == "" {
			continue
		}
		if u, err := url.Parse(text); err != nil || u.Scheme != "https" && !loopback(u) || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("%s %q is not a URL such as https://sts.example.com", flag, text)
		}
	}
	return nil
}

// loopback is whether plain HTTP to the URL stays on this machine.
func loopback(u *url.URL) bool {
	return u.Scheme == "http" && slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, u.Hostname())
}

// Open prepares what the options say. It asks no cloud; an error means that
// credentials are missing.
func (o Options) Open(ctx context.Context) (Clouds, error) {
	c := Clouds{Identity: o.Filled()}
	client := &http.Client{Timeout: Timeout}
	var err error
	for _, name := range o.Ask {
		switch name {
		case askAWS:
			c.AWS, err = NewAWS(ctx, o.AWSSTSURL)
		case askAzure:
			c.Azure, err = NewAzure(o.AzureClientSecret, o.AzureAuthorityURL, client)
		case askGCP:
			c.Google, err = NewGoogle(ctx, o.GCPCredentialsURL, client)
		}
		if err != nil {
			return c, fmt.Errorf("--cloud-check %s: %w", name, err)
		}
	}
	return c, nil
}
