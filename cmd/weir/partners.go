package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/partner"
)

func partnersCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "partners", Short: "Manage clients of the Partner API on the server's own machine",
		Long: `Manage clients of the Partner API in the data directory or database of a server, which
may be running. What is changed counts at once, in every replica.`,
	}
	create := partnerCommand("create NAME", "Make a partner and print its client's ID and secret", 1,
		func(cmd *cobra.Command, e *engine.Engine, args []string) error {
			scopes, _ := cmd.Flags().GetStringSlice("scope")
			id, secret, err := partner.Create(cmd.Context(), e, args[0], scopes)
			if err != nil {
				return err
			}
			printClient(cmd, fmt.Sprintf("The client of the partner %q.", args[0]), id, secret)
			return nil
		})
	create.Flags().StringSlice("scope", partner.Scopes(), "`scope` that the client's tokens can have; may be repeated")
	c.AddCommand(
		create,
		partnerCommand("list", "Print all partners", 0, listPartners),
		partnerCommand("rotate ID", "Give a partner's client a new secret and end its tokens", 1,
			func(cmd *cobra.Command, e *engine.Engine, args []string) error {
				secret, err := partner.Rotate(cmd.Context(), e, args[0])
				if err != nil {
					return err
				}
				printClient(cmd, "The client's new secret; the old one and its tokens are good no longer.", args[0], secret)
				return nil
			}),
		partnerCommand("delete ID", "Delete a partner with its tokens and entitlements; its organizations stay", 1,
			func(cmd *cobra.Command, e *engine.Engine, args []string) error {
				return partner.Delete(cmd.Context(), e, args[0])
			}),
		partnerCommand("link-token ID ORGANIZATION", "Print a token with which a partner can link an organization to itself", 2,
			func(cmd *cobra.Command, e *engine.Engine, args []string) error {
				raw, until, err := partner.LinkToken(cmd.Context(), e, args[0], args[1])
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "Good until %s, for this partner and this organization alone.\n", until.UTC().Format(time.RFC3339))
				fmt.Fprintln(cmd.OutOrStdout(), raw)
				return nil
			}),
	)
	return c
}

// partnerCommand returns a command that works on the engine of an installation.
func partnerCommand(use, short string, args int, run func(cmd *cobra.Command, e *engine.Engine, args []string) error) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(args), RunE: func(cmd *cobra.Command, args []string) error {
		e, err := openEngine(cmd)
		if err != nil {
			return err
		}
		defer func() { _ = e.Store.Close() }()
		err = run(cmd, e, args)
		var refused *api.Error
		if errors.As(err, &refused) {
			return errors.New(refused.Problems[0].Message)
		}
		return err
	}}
	storeFlags(c.Flags())
	return c
}

func printClient(cmd *cobra.Command, what, id, secret string) {
	fmt.Fprintf(cmd.OutOrStdout(), "# %s The secret is shown once.\nexport WEIR_PARTNER_CLIENT_ID=%s\nexport WEIR_PARTNER_CLIENT_SECRET=%s\n", what, id, secret)
}

func listPartners(cmd *cobra.Command, e *engine.Engine, _ []string) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tCREATED\tSCOPES\tNAME")
	err := partner.List(cmd.Context(), e.Store, func(o *engine.Object) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", o.ID, o.Created.Format(time.DateOnly), strings.Join(partner.ScopesOf(o), ","), o.Doc.String("display_name"))
	})
	if err != nil {
		return err
	}
	return w.Flush()
}
