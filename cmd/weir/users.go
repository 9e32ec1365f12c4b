package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weirhq/weir/internal/signin"
)

func usersCommand() *cobra.Command {
	c := &cobra.Command{Use: "users", Short: "Manage users on the server's own machine"}
	set := &cobra.Command{
		Use: "set-password EMAIL|ID", Short: "Give a user another password", Args: cobra.ExactArgs(1),
		Long: `Give a user another password, in the data directory or database of a server, which may be
running, and end all sessions of the user.

The password is asked for on the terminal or, where standard input is none, is its first
line.`,
		Example: `  weir users set-password marty@example.com
  pass show weir/marty | weir users set-password u-12mgdv`,
		RunE: setPassword,
	}
	storeFlags(set.Flags())
	c.AddCommand(set)
	return c
}

func setPassword(cmd *cobra.Command, args []string) error {
	e, err := openEngine(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = e.Store.Close() }()
	user, err := signin.Find(cmd.Context(), e, args[0])
	if err != nil {
		return err
	}
	password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if err := signin.Reset(cmd.Context(), e, user, password); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "The password of %s (%s) is changed, and all sessions have ended.\n", user.ID, user.Doc.String("email"))
	return nil
}

// maxPasswordLine bounds what is read in search of the end of a line, in bytes.
const maxPasswordLine = 4 << 10

// readPassword asks for a password twice without showing it or, where the input
// is no terminal, takes its first line.
func readPassword(in io.Reader, prompt io.Writer) (string, error) {
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		var typed [2]string
		for i, question := range []string{"New password: ", "The same again: "} {
			fmt.Fprint(prompt, question)
			b, err := term.ReadPassword(int(file.Fd()))
			fmt.Fprintln(prompt)
			if err != nil {
				return "", fmt.Errorf("read the password: %w", err)
			}
			typed[i] = string(b)
		}
		if typed[0] != typed[1] {
			return "", errors.New("the two passwords differ")
		}
		return typed[0], nil
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if line == "" {
		return "", errors.New("there is no password on standard input")
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}
