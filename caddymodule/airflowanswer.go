package caddymodule

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"net/http"
)

// mostHeld is how much of an answer is held back, in bytes. Those of Airflow to a token are of some
// dozens.
const mostHeld = 4 << 10

// airflowAnswer passes an answer of Airflow on, unless Airflow refuses the token that came with the
// request: that is not the client's, and none of its business. 401 always says that, and 403 may,
// which is why its beginning is held back.
type airflowAnswer struct {
	withoutCookies
	before http.Header // what was set when the request was passed on
	status int         // of an answer that is held back, or 0
	body   []byte
}

func newAirflowAnswer(w http.ResponseWriter) *airflowAnswer {
	return &airflowAnswer{withoutCookies: newWithoutCookies(w), before: w.Header().Clone()}
}

// refused says whether Airflow has refused the token.
func (a *airflowAnswer) refused() bool {
	if a.status != http.StatusForbidden {
		return a.status == http.StatusUnauthorized
	}
	var answer struct {
		Detail string `json:"detail"`
	}
	return json.Unmarshal(a.plain(), &answer) == nil && answer.Detail == "Invalid JWT token"
}

// plain is what is held back, without the compression that the client has asked for: Airflow also
// compresses what becomes longer by it.
func (a *airflowAnswer) plain() []byte {
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
func (a *airflowAnswer) release() error {
	if a.status == 0 {
		return nil
	}
	status := a.status
	a.status = 0
	a.withoutCookies.WriteHeader(status)
	_, err := a.withoutCookies.Write(a.body)
	return err
}

// discard forgets an answer that is held back, so that another one can be given.
func (a *airflowAnswer) discard() {
	header := a.Header()
	clear(header)
	maps.Copy(header, a.before)
}

// WriteHeader implements [http.ResponseWriter].
func (a *airflowAnswer) WriteHeader(status int) {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		a.status = status
		return
	}
	a.withoutCookies.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (a *airflowAnswer) Write(p []byte) (int, error) {
	switch {
	case a.status == 0:
		return a.withoutCookies.Write(p)
	case len(a.body)+len(p) <= mostHeld:
		a.body = append(a.body, p...)
	case a.status == http.StatusForbidden: // too long to be about a token
		if err := a.release(); err != nil {
			return 0, err
		}
		return a.withoutCookies.Write(p)
	}
	return len(p), nil
}

// ReadFrom implements [io.ReaderFrom], which the embedded writer would do past Write.
func (a *airflowAnswer) ReadFrom(r io.Reader) (int64, error) {
	if a.status == 0 {
		return a.withoutCookies.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{a}, r)
}

// FlushError is what [http.ResponseController] calls. What is held back is not to be sent.
func (a *airflowAnswer) FlushError() error {
	if a.status != 0 {
		return nil
	}
	return http.NewResponseController(a.withoutCookies.ResponseWriterWrapper).Flush()
}

// Interface guards
var (
	_ http.ResponseWriter = (*airflowAnswer)(nil)
	_ io.ReaderFrom       = (*airflowAnswer)(nil)
)
