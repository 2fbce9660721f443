package main

import (
	"fmt"
	"net/url"
	"strings"
)

// Requests as they are on the wire.

// apiRequests are calls of the Airflow API of the Deployment, one with each token, or with none for an empty one.
func apiRequests(tokens ...string) []string {
	texts := make([]string, len(tokens))
	for i, token := range tokens {
		texts[i] = "GET /" + deployment + "/api/v2/dags HTTP/1.1\r\nHost: airflow.example.com\r\nUser-Agent: bench\r\nAccept: application/json\r\n"
		if token != "" {
			texts[i] += "Authorization: Bearer " + token + "\r\n"
		}
		texts[i] += "\r\n"
	}
	return texts
}

// tokenRequests ask for an access token, one for each key, as most OAuth clients do.
func tokenRequests(keys []key) []string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		body := url.Values{"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret}}.Encode()
		texts[i] = fmt.Sprintf("POST /oauth/token HTTP/1.1\r\nHost: auth.example.com\r\nUser-Agent: bench\r\nAccept: application/json\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	return texts
}

// forged returns the tokens, each with the signature of the next.
func forged(tokens []string) []string {
	texts := make([]string, len(tokens))
	for i, token := range tokens {
		next := tokens[(i+1)%len(tokens)]
		texts[i] = token[:strings.LastIndexByte(token, '.')] + next[strings.LastIndexByte(next, '.'):]
	}
	return texts
}
