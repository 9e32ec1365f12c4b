package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirhq/weir/internal/audit/trail"
)

func auditCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "audit", Short: "Read the audit log on the server's own machine",
		Long: `Read the audit log in the data directory or database of a server, which may be running:
who did what, from where, whether they were allowed to, and what came of it.`,
	}
	query := &cobra.Command{
		Use: "query", Short: "Print events of the past, the oldest first", Args: cobra.NoArgs,
		Example: `  weir audit query --since 24h --result deny
  weir audit query --principal u-12mgdv --since 2026-01-31T08:00:00Z --json`,
		RunE: queryAudit,
	}
	auditFlags(query)
	query.Flags().String("since", "", "`time` of the first event: RFC 3339, or how long ago, such as 90m or 24h; the oldest by default")
	query.Flags().String("until", "", "`time` of the last event; now by default")
	tail := &cobra.Command{
		Use: "tail", Short: "Print the last events, and then each that happens", Args: cobra.NoArgs,
		Example: `  weir audit tail --method CreateApiKey
  weir audit tail --lines 0 --json`,
		RunE: tailAudit,
	}
	auditFlags(tail)
	tail.Flags().Int("lines", 10, "how many events of the past are printed")
	c.AddCommand(query, tail)
	return c
}

func auditFlags(c *cobra.Command) {
	f := c.Flags()
	storeFlags(f)
	f.String("principal", "", "`ID` of who acted: a user, a service account, or a part of Weir such as bootstrap")
	f.String("credential", "", "`ID` of the API key that was used")
	f.String("method", "", "`name` of what was asked for, such as CreateServiceAccount")
	f.String("resource", "", "`ID` or resource name of what it was about; of a resource name also what is below")
	f.String("result", "", "success, failure or deny")
	f.String("organization", "", "`ID` of the organization")
	f.Bool("json", false, "print each event as it is delivered to sinks, one a line")
}

// auditLog opens the log that the command's flags name, with the filter, and
// what prints an entry.
func auditLog(cmd *cobra.Command) (l trail.Log, filter trail.Filter, show func(*trail.Entry) error, err error) {
	text := func(name string) string {
		s, _ := cmd.Flags().GetString(name)
		return s
	}
	filter = trail.Filter{
		Principal: text("principal"), Credential: text("credential"), Method: text("method"),
		Resource: text("resource"), Result: text("result"), Organization: text("organization"),
	}
	if filter.Result != "" && !slices.Contains(trail.Results(), filter.Result) {
		return l, filter, nil, fmt.Errorf("--result %q is none of %s", filter.Result, strings.Join(trail.Results(), ", "))
	}
	k, log, err := loadWithLog(cmd)
	if err != nil {
		return l, filter, nil, err
	}
	l.PublicURL = strings.TrimRight(k.String(publicURL), "/")
	l.Store, err = openStore(cmd, k, log)
	asJSON, _ := cmd.Flags().GetBool("json")
	return l, filter, func(e *trail.Entry) error {
		line := e.Line()
		if asJSON {
			line = string(e.JSON)
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), line)
		return err
	}, err
}

func queryAudit(cmd *cobra.Command, _ []string) error {
	var times [2]time.Time
	for i, name := range []string{"since", "until"} {
		text, _ := cmd.Flags().GetString(name)
		var err error
		if times[i], err = pointInTime(text, time.Now()); err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
	}
	l, filter, show, err := auditLog(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = l.Store.Close() }()
	filter.Since, filter.Until = times[0], times[1]
	return l.Query(cmd.Context(), filter, show)
}

func tailAudit(cmd *cobra.Command, _ []string) error {
	lines, _ := cmd.Flags().GetInt("lines")
	l, filter, show, err := auditLog(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = l.Store.Close() }()
	return l.Tail(cmd.Context(), filter, lines, show)
}

// pointInTime reads an instant, or how long before now it was.
func pointInTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("%q is neither a time such as 2026-01-31T08:00:00Z nor how long ago it was, such as 24h", text)
	}
	return t, nil
}
