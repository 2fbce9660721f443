package console

import (
	"net/http"
	"strings"
)

// securityHeaders are in every answer. Nothing comes from another origin, nothing is inline, nothing is put
// into the frame of another page, and nothing is kept but assets, which say so themselves.
var securityHeaders = map[string]string{
	"Content-Security-Policy": strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self'",
		"connect-src 'self'",
		"form-action 'none'",
		"base-uri 'none'",
		"frame-ancestors 'none'",
		// No module makes HTML or a script of a text, and in browsers that know this none can.
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; "),
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

func setHeaders(header http.Header) {
	for name, value := range securityHeaders {
		header.Set(name, value)
	}
}
