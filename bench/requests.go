package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Requests as they are on the wire. wrk sends them from a file.

// authority is the Host of all requests.
const authority = "airflow.example.com"

// read is a call of the Airflow API of a Deployment, with a token, or without any for the empty one.
func read(deployment, token string) string {
	text := "GET /" + deployment + "/api/v2/dags HTTP/1.1\r\nHost: " + authority + "\r\nUser-Agent: bench\r\nAccept: application/json\r\n"
	if token != "" {
		text += "Authorization: Bearer " + token + "\r\n"
	}
	return text + "\r\n"
}

// reads are calls with each of these tokens.
func reads(deployment string, tokens []string) []string {
	texts := make([]string, len(tokens))
	for i, token := range tokens {
		texts[i] = read(deployment, token)
	}
	return texts
}

// ask asks for an access token, as most OAuth clients do.
func ask(k key) string {
	body := url.Values{"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret}}.Encode()
	return fmt.Sprintf("POST /oauth/token HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", authority, len(body), body)
}

// asks are requests for a token of each of these keys.
func asks(keys []key) []string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = ask(k)
	}
	return texts
}

// forged are these tokens with another signature.
func forged(tokens []string) []string {
	texts := make([]string, len(tokens))
	for i, token := range tokens {
		at := strings.LastIndexByte(token, '.') + 1
		other := byte('A')
		if token[at] == other {
			other = 'B'
		}
		texts[i] = token[:at] + string(other) + token[at+1:]
	}
	return texts
}

// requestFile writes requests as wrk.lua reads them: each ends with a zero byte.
func (b *bench) requestFile(name string, requests []string) (string, error) {
	file := filepath.Join(b.dir, name+".requests")
	var text strings.Builder
	for _, request := range requests {
		text.WriteString(request)
		text.WriteByte(0)
	}
	return file, os.WriteFile(file, []byte(text.String()), 0o600)
}
