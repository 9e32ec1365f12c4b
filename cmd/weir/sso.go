package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/sso"
	"github.com/weirhq/weir/internal/store"
)

func ssoCommand() *cobra.Command {
	c := &cobra.Command{Use: "sso", Short: "Manage single sign-on on the server's own machine"}
	var s sso.Settings
	var secretFile string
	set := &cobra.Command{
		Use: "set", Short: "Let an organization's users sign in at its OpenID Connect provider", Args: cobra.NoArgs,
		Long: `Let an organization's users sign in at an OpenID Connect provider of its own, in the data
directory or database of a server, which may be running. The provider must know this server
as a client, and the redirect URL <public URL>/login/sso/<organization>/callback.

Given again, it changes the connection. With another issuer or client ID it is another
connection, and all sessions that began through the one before end.`,
		Example: `  weir sso set --issuer https://login.example.com --client-id weir --client-secret-file ./secret`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			secret, err := readSecret(secretFile)
			if err != nil {
				return err
			}
			s.ClientSecret = secret
			return onOrganization(cmd, func(e *engine.Engine, organization string) error {
				set, err := sso.Set(cmd.Context(), e, organization, s)
				if err != nil {
					return err
				}
				return tellConnection(cmd.OutOrStdout(), set)
			})
		},
	}
	f := set.Flags()
	f.StringVar(&s.Issuer, "issuer", "", "the provider's `URL`, as its tokens name it")
	f.StringVar(&s.ClientID, "client-id", "", "what the provider knows this server by")
	f.StringVar(&secretFile, "client-secret-file", "", "`file` with the client's secret in its first line; none for a client without a secret")
	f.StringVar(&s.GroupsClaim, "groups-claim", sso.DefaultGroupsClaim, "`claim` that lists the groups that somebody is in")
	f.StringSliceVar(&s.Scopes, "scope", sso.DefaultScopes, "`scopes` to ask for beside openid; some providers tell groups for one of their own only")
	f.StringVar(&s.Name, "name", "", "name of the connection for people; the provider's host by default")
	for _, name := range []string{"issuer", "client-id"} {
		_ = set.MarkFlagRequired(name) // the flag is there
	}
	show := &cobra.Command{
		Use: "show", Short: "Show the connection of an organization", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onOrganization(cmd, func(e *engine.Engine, organization string) error {
				o, err := iam.SSOConnectionOf(cmd.Context(), e.Store, organization)
				if errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("%w; 'weir sso set' makes a connection", sso.ErrNoConnection)
				}
				if err != nil {
					return err
				}
				return tellConnection(cmd.OutOrStdout(), o)
			})
		},
	}
	remove := &cobra.Command{
		Use: "remove", Short: "Remove the connection of an organization", Args: cobra.NoArgs,
		Long: `Remove the connection of an organization, and end all sessions that began through it.
Users of AUTH_TYPE_SSO stay and cannot sign in until there is a connection again, or an
administrator changes their authentication type.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onOrganization(cmd, func(e *engine.Engine, organization string) error {
				if err := sso.Remove(cmd.Context(), e, organization); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The organization %s has no single sign-on any more, and the sessions through it have ended.\n", organization)
				return nil
			})
		},
	}
	for _, command := range []*cobra.Command{set, show, remove} {
		storeFlags(command.Flags())
		command.Flags().String("organization", "", "`ID` of the organization; the first one by default")
		c.AddCommand(command)
	}
	return c
}

// maxSecretFile bounds a file with a secret, in bytes.
const maxSecretFile = 4 << 10

// readSecret reads the first line of a file; without a name there is no secret.
func readSecret(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	file, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("--client-secret-file: %w", err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFile))
	if err != nil {
		return "", fmt.Errorf("--client-secret-file: %w", err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("--client-secret-file: %s has no secret in its first line", name)
	}
	return line, nil
}

// tellConnection prints a connection, without its secret.
func tellConnection(w io.Writer, o *engine.Object) error {
	record, err := iam.DecodeSSORecord(o.Private)
	if err != nil {
		return err
	}
	secret := "is set"
	if record.ClientSecret == "" {
		secret = "none"
	}
	scopes, _ := o.Doc.Get("scopes").([]any)
	fmt.Fprintf(w, "Organization:  %s\nName:          %s\nIssuer:        %s\nClient ID:     %s\nClient secret: %s\nScopes:        openid %s\nGroups claim:  %s\nSign in at:    %s\nRedirect URL:  %s\n",
		o.Org, o.Doc.String("display_name"), o.Doc.String("issuer"), o.Doc.String("client_id"), secret,
		strings.Trim(fmt.Sprint(scopes), "[]"), o.Doc.String("groups_claim"),
		publicURLPlace+iam.SSOPath+o.Org, sso.RedirectURL(publicURLPlace, o.Org))
	return nil
}

// publicURLPlace stands for the public URL, which the command does not know.
const publicURLPlace = "<public URL>"
