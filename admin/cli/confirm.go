package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxReply is how much is read of the reply to a question, in bytes.
const maxReply = 1 << 10

// yesFlag adds the flag --yes.
func yesFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().BoolP("yes", "y", false, "Do not ask whether to go on")
}

// confirm asks on the terminal whether to go on, unless yes is set. Without a terminal nobody could answer,
// and what is on standard input may be meant for something else. The error of any other reply than yes is
// [errNo]. question says what ends.
func confirm(cmd *cobra.Command, yes bool, question func() (string, error)) error {
	if yes {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return errors.New("nobody can be asked whether to go on, since standard input is no terminal: give --yes")
	}
	text, err := question()
	if err != nil {
		return err
	}
	cmd.PrintErrf("%s [y/N] ", plain(text))
	reply, err := bufio.NewReader(io.LimitReader(in, maxReply)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the reply: %w", err)
	}
	if slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(reply))) {
		return nil
	}
	return noError{errors.New("nothing was done")}
}
