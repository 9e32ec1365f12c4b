package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
)

func ipFiltersCommand() *cobra.Command {
	c := &cobra.Command{Use: "ip-filters", Short: "Suspend and resume IP filters on the server's own machine"}
	suspend := &cobra.Command{
		Use: "suspend", Short: "Switch the IP filters of an organization off", Args: cobra.NoArgs,
		Long: `Switch the IP filters of an organization off, in the data directory or database of a server,
which may be running. This is the way back in when IP filters keep everybody out: suspend
them, correct them over the API, and resume them.

The filters stay as they are and can be changed. Servers follow within a second, and warn
of the suspension when they start.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reason, _ := cmd.Flags().GetString("reason")
			return onOrganization(cmd, func(e *engine.Engine, organization string) error {
				suspended, err := iam.SuspendIPFilters(cmd.Context(), e, organization, reason)
				if err != nil {
					return err
				}
				text := "The IP filters of %s are suspended. 'weir ip-filters resume' makes them count again.\n"
				if !suspended {
					text = "The IP filters of %s were suspended already.\n"
				}
				fmt.Fprintf(cmd.OutOrStdout(), text, organization)
				return nil
			})
		},
	}
	suspend.Flags().String("reason", "", "why, in at most 255 characters; it is in the log and in the status")
	resume := &cobra.Command{
		Use: "resume", Short: "Make the IP filters of an organization count again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onOrganization(cmd, func(e *engine.Engine, organization string) error {
				resumed, err := iam.ResumeIPFilters(cmd.Context(), e, organization)
				if err != nil {
					return err
				}
				text := "The IP filters of %s count again.\n"
				if !resumed {
					text = "The IP filters of %s were not suspended.\n"
				}
				fmt.Fprintf(cmd.OutOrStdout(), text, organization)
				return nil
			})
		},
	}
	status := &cobra.Command{
		Use: "status", Short: "Tell whether the IP filters of an organization count", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onOrganization(cmd, func(e *engine.Engine, organization string) error {
				status, err := iam.IPFilterStatus(cmd.Context(), e.Store, organization)
				if err != nil {
					return err
				}
				state := "in force"
				if s := status.Suspended; s != nil {
					state = "suspended since " + s.Since.UTC().Format(time.RFC3339)
					if s.Reason != "" {
						state += ": " + s.Reason
					}
				}
				fmt.Fprintf(cmd.OutOrStdout(), "organization: %s\nip filters: %d\nstate: %s\n", organization, status.Filters, state)
				return nil
			})
		},
	}
	for _, sub := range []*cobra.Command{suspend, resume, status} {
		storeFlags(sub.Flags())
		sub.Flags().String("organization", "", "`ID` of the organization; the first one by default")
		c.AddCommand(sub)
	}
	return c
}
