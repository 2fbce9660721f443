package airflow

import (
	"io"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// withoutCookies is an answer of Airflow without the sessions that it would give to a browser: they
// would be the gateway's own. It has no trailers either, in which a cookie could come too: the API of
// Airflow has none.
type withoutCookies struct {
	*caddyhttp.ResponseWriterWrapper
}

func newWithoutCookies(w http.ResponseWriter) withoutCookies {
	return withoutCookies{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
}

// clean is for whatever may send the header. A trailer that it does not announce is not sent.
func (w withoutCookies) clean() {
	header := w.Header()
	header.Del("Set-Cookie")
	header.Del("Trailer")
}

// end is for when Airflow's answer is at its end: it removes the trailers that need no announcement.
func (w withoutCookies) end() {
	w.clean()
	header := w.Header()
	for name := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(header, name)
		}
	}
}

// WriteHeader implements [http.ResponseWriter].
func (w withoutCookies) WriteHeader(status int) {
	w.clean()
	w.ResponseWriterWrapper.WriteHeader(status)
}

// Write implements [http.ResponseWriter]: it sends the header if nothing did.
func (w withoutCookies) Write(p []byte) (int, error) {
	w.clean()
	return w.ResponseWriterWrapper.Write(p)
}

// ReadFrom implements [io.ReaderFrom]: as Write.
func (w withoutCookies) ReadFrom(r io.Reader) (int64, error) {
	w.clean()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what [http.ResponseController] calls: as Write.
func (w withoutCookies) FlushError() error {
	w.clean()
	return http.NewResponseController(w.ResponseWriter).Flush()
}
