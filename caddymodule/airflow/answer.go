package airflow

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

const (
	// mostHeld is how much of an answer is held back, in bytes. Those of Airflow to a token are of some
	// dozens.
	mostHeld = 4 << 10

	// mostDropped is how much of an answer is read that nobody gets, in bytes. To its end it is read
	// only so that the connection can be used again.
	mostDropped = 1 << 20
)

var errDropped = errors.New("an answer that refuses the token of the gateway is too long to be read to its end")

// answer passes an answer of Airflow on, unless Airflow refuses the token that came with the
// request: that is not the client's, and none of its business. 401 always says that, and 403 may,
// which is why its beginning is held back.
type answer struct {
	app gateway
	withoutCookies
	before  http.Header // what was set when the request was passed on
	status  int         // of an answer that is held back, or 0
	head    http.Header // of it
	body    []byte
	dropped int // bytes of a 401
}

func newAnswer(app gateway, w http.ResponseWriter) *answer {
	return &answer{app: app, withoutCookies: newWithoutCookies(w), before: w.Header().Clone()}
}

// passOn lets next, which is Airflow, answer a request. If Airflow refuses the token, nothing of its
// answer is left, and another one can be given.
func (a *answer) passOn(next caddyhttp.Handler, r *http.Request) (tokenRefused bool, err error) {
	defer func() {
		if !tokenRefused {
			a.app.PassedAtAirflow()
		}
	}()
	if err := a.ask(next, r); err != nil {
		return false, err
	}
	if a.refused() {
		a.setHeader(a.before)
		return true, nil
	}
	return false, a.release()
}

func (a *answer) ask(next caddyhttp.Handler, r *http.Request) (err error) {
	defer func() {
		if a.status != 0 {
			a.setHeader(a.head) // what was added since are trailers
		}
		a.end()
		if a.dropped > mostDropped {
			// It is known what Airflow says. An answer that cannot be written is an error to some
			// handlers, and reverse_proxy panics.
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
			err = nil
		}
	}()
	return next.ServeHTTP(a, r)
}

// refused says whether Airflow has refused the token.
func (a *answer) refused() bool {
	if a.status != http.StatusForbidden {
		return a.status == http.StatusUnauthorized
	}
	var answer struct {
		Detail string `json:"detail"`
	}
	return json.Unmarshal(a.plain(), &answer) == nil && answer.Detail == "Invalid JWT token"
}

// plain is what is held back, without the compression that the client has asked for: Airflow also
// compresses what becomes longer by it. It is not asked for any other: see readableOnly.
func (a *answer) plain() []byte {
	if a.Header().Get("Content-Encoding") != "gzip" {
		return a.body
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(a.body))
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(unpacked, mostHeld))
	if err != nil {
		return nil
	}
	return body
}

// release passes on what was held back.
func (a *answer) release() error {
	if a.status == 0 {
		return nil
	}
	status := a.status
	a.status = 0
	a.withoutCookies.WriteHeader(status)
	_, err := a.withoutCookies.Write(a.body)
	return err
}

func (a *answer) setHeader(to http.Header) {
	header := a.Header()
	clear(header)
	maps.Copy(header, to)
}

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		a.status, a.head = status, a.Header().Clone()
		return
	}
	a.withoutCookies.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (a *answer) Write(p []byte) (int, error) {
	switch {
	case a.status == 0:
		return a.withoutCookies.Write(p)
	case a.status == http.StatusUnauthorized:
		if a.dropped += len(p); a.dropped > mostDropped {
			return 0, errDropped
		}
	case len(a.body)+len(p) <= mostHeld:
		a.body = append(a.body, p...)
	default: // too long to be about a token
		if err := a.release(); err != nil {
			return 0, err
		}
		return a.withoutCookies.Write(p)
	}
	return len(p), nil
}

// ReadFrom implements [io.ReaderFrom], which the embedded writer would do past Write.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	if a.status == 0 {
		return a.withoutCookies.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{a}, r)
}

// FlushError is what [http.ResponseController] calls. What is held back is not to be sent.
func (a *answer) FlushError() error {
	if a.status != 0 {
		return nil
	}
	return a.withoutCookies.FlushError()
}

// readableOnly lets Airflow compress an answer only as plain can read it, if the client takes that.
// Every client takes an answer that is not compressed, and what is not asked for is left to
// reverse_proxy, which asks for gzip and unpacks it.
func readableOnly(header http.Header) {
	asked, ok := header["Accept-Encoding"]
	if !ok {
		return
	}
	encoding := "identity"
	for coding := range strings.SplitSeq(strings.Join(asked, ","), ",") {
		name, weight, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(coding, " ", "")), ";")
		unwanted := weight != "" && strings.Trim(weight, "q=0.") == ""
		if name == "gzip" && !unwanted {
			encoding = "gzip"
		}
	}
	header["Accept-Encoding"] = []string{encoding}
}

// Interface guards
var (
	_ http.ResponseWriter = (*answer)(nil)
	_ io.ReaderFrom       = (*answer)(nil)
)
