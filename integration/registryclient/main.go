// Command registryclient pushes and pulls container images with go-containerregistry, for the tests of package
// integration. It is a module of its own, so that the modules of registry clients do not get into the go.mod of everybody
// who builds the plugin.
//
//	registryclient push  HOST/ORG/DEPLOYMENT:TAG SIZE
//	registryclient pull  HOST/ORG/DEPLOYMENT:TAG
//	registryclient tags  HOST/ORG/DEPLOYMENT
//	registryclient names HOST
//
// push makes an image of one layer, SIZE bytes made on the way that do not compress, and prints its digest. pull reads
// all of an image, checks it, and prints its digest. tags and names print what there is, a line each. The user and the
// password are in REGISTRY_USER and REGISTRY_PASSWORD. What the registry or the gateway refuses is an error.
package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/stream"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "registryclient:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: registryclient push IMAGE SIZE | pull IMAGE | tags REPOSITORY | names HOST")

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errUsage
	}
	options := []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuth(&authn.Basic{Username: os.Getenv("REGISTRY_USER"), Password: os.Getenv("REGISTRY_PASSWORD")}),
	}
	switch command := args[0]; {
	case command == "push" && len(args) == 3:
		return push(args[1], args[2], options)
	case command == "pull" && len(args) == 2:
		return pull(args[1], options)
	case command == "tags" && len(args) == 2:
		repository, err := name.NewRepository(args[1])
		if err != nil {
			return err
		}
		return printed(remote.List(repository, options...))
	case command == "names" && len(args) == 2:
		registry, err := name.NewRegistry(args[1])
		if err != nil {
			return err
		}
		return printed(remote.Catalog(ctx, registry, options...))
	default:
		return errUsage
	}
}

func printed(lines []string, err error) error {
	for _, line := range lines {
		fmt.Println(line)
	}
	return err
}

// push sends an image whose one layer is never whole in memory or in a file.
func push(image, size string, options []remote.Option) error {
	ref, err := name.NewTag(image, name.StrictValidation)
	if err != nil {
		return err
	}
	bytes, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	content := io.NopCloser(io.LimitReader(rand.NewChaCha8([32]byte{}), bytes))
	layer := stream.NewLayer(content, stream.WithCompressionLevel(gzip.NoCompression))
	made, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer})
	if err != nil {
		return err
	}
	if err := remote.Write(ref, made, options...); err != nil {
		return err
	}
	return printDigest(made)
}

// pull reads each layer to its end: the reader that remote returns fails there if the digest is another.
func pull(image string, options []remote.Option) error {
	ref, err := name.NewTag(image, name.StrictValidation)
	if err != nil {
		return err
	}
	got, err := remote.Image(ref, options...)
	if err != nil {
		return err
	}
	if _, err := got.ConfigFile(); err != nil {
		return err
	}
	layers, err := got.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return errors.Join(err, content.Close())
		}
		if err := content.Close(); err != nil {
			return err
		}
	}
	return printDigest(got)
}

func printDigest(image v1.Image) error {
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}
