// Command fosite is the token server that somebody would build with github.com/ory/fosite instead of using the gateway:
// the grant client_credentials alone, and JWTs signed with ES256. make bench measures it beside the gateway. It is a module
// of its own, so that what fosite needs does not get into the go.mod of everybody who builds the plugin.
//
//	fosite -listen 127.0.0.1:PORT -client-id ID -client-secret SECRET
//
// It answers POST /oauth/token for that one client, whose credentials are in the form or in HTTP Basic, until it gets
// SIGINT or SIGTERM. It prints nothing but errors. It is for measuring on loopback, and for nothing else: its secret is on
// the command line, its signing key is gone when it ends, and its server has no timeouts, which are the defaults of net/http.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fosite:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: fosite -listen 127.0.0.1:PORT -client-id ID -client-secret SECRET")

// run serves until ctx ends, which is no error.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("fosite", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	address := flags.String("listen", "", "")
	clientID := flags.String("client-id", "", "")
	clientSecret := flags.String("client-secret", "", "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w; %w", err, errUsage)
	}
	if *address == "" || *clientID == "" || *clientSecret == "" || flags.NArg() > 0 {
		return errUsage
	}

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	provider, err := newProvider(*clientID, *clientSecret, key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newHandler(provider)}
	// Whoever ends it has all answers that count, so it waits for none.
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
