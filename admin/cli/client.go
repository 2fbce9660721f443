package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/spf13/cobra"

	"github.com/deploymentkeys/gateway/admin"
)

// callTimeout bounds a call of a gateway: it has to answer within keystore.ChangeTimeout, and the rest is
// for the way. A stream may be silent for that long.
const callTimeout = 30 * time.Second

// maxAnswer is the largest answer of a gateway that is read, in bytes, but for a stream: more than a page
// of [pageSize], or all members of a Deployment.
const maxAnswer = 4 << 20

// A client calls the admin API of a gateway.
type client struct {
	address, config, adapter string // the flags
	cert, key, ca            string

	timeout time.Duration // callTimeout, but for tests
	found   *endpoint     // by the first call
}

// newClient makes the client of a command and of those below it, with the flags that say which gateway it
// is.
func newClient(cmd *cobra.Command) *client {
	c := &client{timeout: callTimeout}
	flags := cmd.PersistentFlags()
	flags.StringVar(&c.address, "address", "", "Address of the gateway's admin endpoint; default: that of --config, or Caddy's")
	flags.StringVarP(&c.config, "config", "c", "", "Configuration in which the address is looked up")
	flags.StringVarP(&c.adapter, "adapter", "a", "", "Name of the adapter for the configuration")
	flags.StringVar(&c.cert, "cert", "", "Certificate for a remote admin endpoint, a file in PEM form")
	flags.StringVar(&c.key, "key", "", "Private key of the certificate, a file in PEM form; default: the file of --cert")
	flags.StringVar(&c.ca, "ca-cert", "", "Certificates to trust for a remote admin endpoint, in PEM form; default: the system's")
	return c
}

// ask sends a request that changes nothing, and returns the JSON that it is answered.
func (c *client) ask(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	answer, _, err := c.call(ctx, method, path, body)
	return answer, err
}

// change sends a request that changes something, and returns the JSON that it is answered; nil when there
// is none. Its error says when it is not known whether the change was made.
func (c *client) change(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	answer, sent, err := c.call(ctx, method, path, body)
	if err != nil && sent && !errors.Is(err, errNo) {
		return nil, fmt.Errorf("%w; whether it was done is not known: look before doing it again", err)
	}
	return answer, err
}

// call sends a request, with a JSON body unless that is nil. sent says that the gateway may have it.
func (c *client) call(ctx context.Context, method, path string, body any) (answer json.RawMessage, sent bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("it does not answer within %s", c.timeout))
	defer cancel()
	response, sent, err := c.send(ctx, method, path, body)
	if err != nil {
		return nil, sent, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, true, c.found.failed(fmt.Errorf("reading its answer: %w", because(ctx, err)))
	case len(content) > maxAnswer:
		return nil, true, c.found.failed(fmt.Errorf("its answer is larger than %d bytes", maxAnswer))
	case response.StatusCode == http.StatusNoContent:
		return nil, true, nil
	case !json.Valid(content):
		return nil, true, c.found.failed(errors.New("its answer is not what a gateway answers"))
	}
	return content, true, nil
}

// send sends a request and returns an answer of status 2xx, whose body the caller closes.
func (c *client) send(ctx context.Context, method, path string, body any) (response *http.Response, sent bool, err error) {
	if c.found == nil {
		if c.found, err = c.find(); err != nil {
			return nil, false, err
		}
	}
	content := io.Reader(http.NoBody)
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, false, err
		}
		content = bytes.NewReader(encoded)
	}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }})
	request, err := http.NewRequestWithContext(traced, method, c.found.url+path, content)
	if err != nil {
		return nil, false, c.found.failed(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.found.origin != "" {
		request.Header.Set("Origin", c.found.origin)
	}
	response, err = c.found.http.Do(request)
	var refused *net.OpError
	switch {
	case errors.As(err, &refused) && refused.Op == "remote error": // of TLS: the other side does not take the certificate
		return nil, false, c.found.failed(refused)
	case err != nil:
		return nil, sent, c.found.failed(because(ctx, err))
	case response.StatusCode < 200 || response.StatusCode >= 300:
		defer response.Body.Close()
		return nil, true, c.found.failed(refusal(response))
	}
	return response, true, nil
}

// because is the reason why a call failed: that of its context, if it was ended by that.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// maxRefusal is how much is read of an answer that is an error, in bytes.
const maxRefusal = 64 << 10

// refusal is the error that a gateway has answered. When it says that the caller is wrong, it is [errNo].
func refusal(response *http.Response) error {
	content, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusal)) // what there is
	var answer admin.Error
	status := fmt.Sprintf("it answers %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	err := errors.New(status)
	if json.Unmarshal(content, &answer) == nil && answer.Error != "" {
		err = errors.New(plain(answer.Error))
	}
	switch {
	case response.StatusCode < 400:
		return errors.New(status + ", which is not what a gateway answers")
	case response.StatusCode < 500:
		return noError{err}
	}
	return err
}
