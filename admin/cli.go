package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "deployment-key",
		Usage: "<command>",
		Short: "Commands about the API keys of Airflow Deployments, and their access tokens",
		Long: `
Commands about the API keys of Airflow Deployments, and their access tokens. They
ask a gateway that runs, over Caddy's admin endpoint.
`,
		CobraFunc: func(cmd *cobra.Command) { group(cmd, explainCommand()) },
	})
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "deployment-secret",
		Usage: "<command>",
		Short: "Changes the master secret of the store of Deployments and keys",
		Long: `
Changes the master secret of the store of Deployments and keys. It works on the
store itself, with a gateway's configuration.
`,
		CobraFunc: func(cmd *cobra.Command) { group(cmd, changeSecretCommand()) },
	})
}

// What the commands exit with. Caddy's own commands exit with 1 for whatever went wrong.
const (
	exitDone  = 0
	exitNo    = 1 // it was done, and the answer is no; or it failed
	exitUsage = 2 // it was called wrongly; or it could not be asked
)

// group makes a command of which only those below it do something.
func group(cmd *cobra.Command, commands ...*cobra.Command) {
	cmd.AddCommand(commands...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		// What it is is not shown: it may be something pasted by mistake.
		return fail(cmd, exitUsage, fmt.Errorf("there is no such command: see %s --help", cmd.CommandPath()))
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return fail(cmd, exitUsage, err) })
}

// fail says what went wrong and has the program end with a code. What it says is one line on standard
// error, and not one of Caddy's log: it is for people who have just typed the command.
func fail(cmd *cobra.Command, code int, err error) error {
	cmd.PrintErrln("Error:", err)
	return exit(cmd, code)
}

// exit has the program end with a code, without a word.
func exit(cmd *cobra.Command, code int) error {
	cmd.SilenceErrors = true // of what is returned here
	switch code {
	case exitDone:
		return nil
	case exitNo:
		return errNo // any error is 1
	}
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
}

var errNo = errors.New("the answer is no")

// adminTimeout bounds a call of a gateway: it has to answer within [keystore.ChangeTimeout], and the
// rest is for the way.
const adminTimeout = 30 * time.Second

// maxAnswer is the largest answer of a gateway that is read, in bytes.
const maxAnswer = 1 << 20

// An adminClient calls the admin API of a gateway, at an address that is found as Caddy's own
// commands find it: unix sockets are "unix//path".
type adminClient struct {
	address, config, adapter string // the flags
}

// addFlags adds the flags that say which gateway it is.
func (c *adminClient) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.address, "address", "", "Address of the gateway's admin endpoint; default: that of --config, or Caddy's")
	cmd.Flags().StringVarP(&c.config, "config", "c", "", "Configuration in which the address is looked up")
	cmd.Flags().StringVarP(&c.adapter, "adapter", "a", "", "Name of the adapter for the configuration")
}

// call sends a request with a JSON body and returns the JSON that it is answered.
func (c *adminClient) call(method, path string, body any) ([]byte, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(c.address, nil, c.config, c.adapter)
	if err != nil {
		return nil, fmt.Errorf("the address of the admin endpoint: %w", err)
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	type result struct {
		answer []byte
		err    error
	}
	// Caddy's function has no deadline of its own.
	answered := make(chan result, 1)
	go func() {
		answer, err := request(address, method, path, encoded)
		answered <- result{answer, err}
	}()
	select {
	case r := <-answered:
		return r.answer, r.err
	case <-time.After(adminTimeout):
		return nil, fmt.Errorf("the admin endpoint at %s does not answer within %s", address, adminTimeout)
	}
}

func request(address, method, path string, body []byte) ([]byte, error) {
	answer, err := caddycmd.AdminAPIRequest(address, method, path, nil, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the admin endpoint at %s: %w", address, answeredError(err))
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the admin endpoint at %s: reading its answer: %w", address, err)
	}
	return content, nil
}

// answeredError is the sentence in an error of [caddycmd.AdminAPIRequest], which has the whole JSON of
// an answer in it.
func answeredError(err error) error {
	_, body, found := strings.Cut(err.Error(), `{"error":`)
	var sentence struct {
		Error string `json:"error"`
	}
	if !found || json.Unmarshal([]byte(`{"error":`+body), &sentence) != nil || sentence.Error == "" {
		return errors.New(plain(strings.TrimSpace(err.Error())))
	}
	return errors.New(plain(sentence.Error))
}

// plain makes a text that a terminal shows as it is: what is in a token, anybody may have written.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
