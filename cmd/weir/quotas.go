package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/engine"
)

func quotasCommand() *cobra.Command {
	c := &cobra.Command{Use: "quotas", Short: "Show and change quotas on the server's own machine"}
	list := &cobra.Command{
		Use: "list", Short: "Show the limits of an organization and what is used of them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return withQuotas(cmd, listQuotas) },
	}
	set := &cobra.Command{
		Use: "set CODE LIMIT", Short: "Set a limit", Args: cobra.ExactArgs(2),
		Long: `Set a limit in the data directory or database of a server, which may be running. It holds
from the next write on, on every replica. What there is above it stays.`,
		Example: "  weir quotas set iam.max_environments.per_org 100",
		RunE: func(cmd *cobra.Command, args []string) error {
			limit, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil {
				return fmt.Errorf("the limit %q is not a whole number from 0 to %d", args[1], engine.MaxLimit)
			}
			return withQuotas(cmd, func(ctx context.Context, cmd *cobra.Command, e *engine.Engine, organization string) error {
				if err := e.SetLimit(ctx, organization, args[0], limit); err != nil {
					return noQuota(err)
				}
				return tellLimit(ctx, cmd, e, organization, args[0])
			})
		},
	}
	reset := &cobra.Command{
		Use: "reset CODE", Short: "Let the default limit hold again", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withQuotas(cmd, func(ctx context.Context, cmd *cobra.Command, e *engine.Engine, organization string) error {
				if err := e.ResetLimit(ctx, organization, args[0]); err != nil {
					return noQuota(err)
				}
				return tellLimit(ctx, cmd, e, organization, args[0])
			})
		},
	}
	recount := &cobra.Command{
		Use: "recount", Short: "Count everything anew, for every organization", Args: cobra.NoArgs,
		Long: `Count everything anew, for every organization, while servers may run. It is for the end of an
upgrade in which older servers went on writing, which do not count for quotas that are new.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer func() { _ = e.Store.Close() }()
			if err := e.RecountQuotas(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Counted for %d quotas\n", len(e.Quotas()))
			return nil
		},
	}
	storeFlags(recount.Flags())
	c.AddCommand(recount)
	for _, command := range []*cobra.Command{list, set, reset} {
		storeFlags(command.Flags())
		command.Flags().String("organization", "", "`ID` of the organization; the first one by default")
		c.AddCommand(command)
	}
	return c
}

// withQuotas opens the database and runs do for the organization that the
// command is about.
func withQuotas(cmd *cobra.Command, do func(ctx context.Context, cmd *cobra.Command, e *engine.Engine, organization string) error) error {
	return onOrganization(cmd, func(e *engine.Engine, organization string) error {
		return do(cmd.Context(), cmd, e, organization)
	})
}

func noQuota(err error) error { return fmt.Errorf("%w; 'weir quotas list' shows them", err) }

func listQuotas(ctx context.Context, cmd *cobra.Command, e *engine.Engine, organization string) error {
	limits, err := e.Store.Limits(ctx, organization)
	if err != nil {
		return err
	}
	used, err := e.Store.Counters(ctx, organization, "")
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CODE\tSCOPE\tDEFAULT\tLIMIT\tUSED")
	for _, q := range e.Quotas() {
		limit, set := limits[q.Code]
		if !set {
			limit = q.Limit
		}
		usage := "-" // differs for each subject
		if q.Scope == engine.PerOrganization {
			usage = strconv.FormatInt(used[q.Code], 10)
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\n", q.Code, q.Scope, q.Limit, limit, usage)
	}
	return table.Flush()
}

// tellLimit prints the limit that is in force now.
func tellLimit(ctx context.Context, cmd *cobra.Command, e *engine.Engine, organization, code string) error {
	limits, err := e.Store.Limits(ctx, organization)
	if err != nil {
		return err
	}
	limit, set := limits[code]
	if !set {
		limit = e.Quota(code).Limit
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is limited to %d in the organization %s\n", code, limit, organization)
	return nil
}
