package console

import (
	"errors"
	"net/http"

	"github.com/deploymentkeys/gateway/admin"
	"github.com/deploymentkeys/gateway/caddymodule"
)

// This file tells the requests of the console's own pages from those that pages of other sites have a
// browser send, with the user's password or cookie.

// The header, and its value, that the console's pages send with each change. A page of another origin has
// to ask the server before it may send it (https://fetch.spec.whatwg.org/#cors-preflight-fetch), and a form
// cannot.
const (
	ownHeader      = "X-Requested-With"
	ownHeaderValue = "deployment-console"
)

// ownPagesOnly refuses what may change something and does not come from a page of the console.
func (c *Console) ownPagesOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		if err := fromOwnPage(r); err != nil {
			admin.WriteError(w, http.StatusForbidden, err.Error())
			c.refused(r, callerOf(r), "", err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Why a request is not taken for one of the console's pages.
var (
	errOtherSite = errors.New("this request comes from a page of another site: Sec-Fetch-Site must be same-origin")
	errOrigin    = errors.New("this request comes from a page of another origin: Origin must be that of the console")
	errOwnHeader = errors.New("this request has not the header of the console's pages: " + ownHeader + ": " + ownHeaderValue)
)

// fromOwnPage returns an error unless a request comes from a page of the console, or from a program that sends the header of
// these pages: a page of another origin cannot. That a host is one that the site serves is for the site's address to say,
// and for TLS: see [Console.InsecureNoAuth].
func fromOwnPage(r *http.Request) error {
	if caddymodule.CheckSameSite(r) != nil {
		if r.Header.Get("Sec-Fetch-Site") != "" {
			return errOtherSite
		}
		return errOrigin
	}
	if own := r.Header[ownHeader]; len(own) != 1 || own[0] != ownHeaderValue {
		return errOwnHeader
	}
	return nil
}
