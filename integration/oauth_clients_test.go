package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Go's own OAuth client, in each way that it has to send the credentials. It is to be set up with the ID, the secret and
// the URL, and nothing that is peculiar to this product.
func TestGoOAuth2Client(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := oauthSite(t, s, "audience astronomer-ee https://airflow.example.com")
		k := g.newKey(t, "dep1")
		for style, name := range map[oauth2.AuthStyle]string{
			oauth2.AuthStyleInHeader: "header", oauth2.AuthStyleInParams: "params", oauth2.AuthStyleAutoDetect: "detected",
		} {
			for parameters, want := range map[string]struct {
				endpoint url.Values
				scopes   []string
				audience string
				scope    string
			}{
				"alone":        {nil, nil, "astronomer-ee", allScopes},
				"scopes":       {nil, []string{"airflow:read", "deploy"}, "astronomer-ee", "deploy airflow:read"},
				"audience":     {url.Values{"audience": {"https://airflow.example.com"}}, nil, "https://airflow.example.com", allScopes},
				"RFC 8707 one": {url.Values{"resource": {"https://airflow.example.com"}}, nil, "https://airflow.example.com", allScopes},
			} {
				t.Run(name+"/"+parameters, func(t *testing.T) {
					config := clientcredentials.Config{
						ClientID: k.ID, ClientSecret: k.Secret, TokenURL: g.URL(g.port, "/oauth/token"),
						AuthStyle: style, Scopes: want.scopes, EndpointParams: want.endpoint,
					}
					token, err := config.Token(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					claims := claimsOf(t, token.AccessToken)
					if token.Type() != "Bearer" || token.Extra("scope") != want.scope || !token.Valid() ||
						fmt.Sprint(claims["aud"]) != want.audience || claims["scope"] != want.scope {
						t.Errorf("a %s token with scope %v, for %v with %v", token.Type(), token.Extra("scope"), claims["aud"], claims["scope"])
					}
					response, err := config.Client(t.Context()).Get(g.URL(g.port, "/dep1/api/v2/dags"))
					if err != nil {
						t.Fatal(err)
					}
					response.Body.Close()
					if response.StatusCode != http.StatusOK {
						t.Errorf("with the client's token: %s", response.Status)
					}
				})
			}
		}
	})
}

// A client must be able to tell one error from another: by the code, not by the text.
func TestGoOAuth2ClientGetsTheErrorCode(t *testing.T) {
	t.Parallel()
	g := oauthSite(t, embedded(t))
	k, narrow := g.newKey(t, "dep1"), g.newKey(t, "dep1", "airflow:read")
	for code, config := range map[string]clientcredentials.Config{
		"invalid_client": {ClientID: k.ID, ClientSecret: narrow.Secret},
		"invalid_scope":  {ClientID: narrow.ID, ClientSecret: narrow.Secret, Scopes: []string{"deploy"}},
		"invalid_target": {ClientID: k.ID, ClientSecret: k.Secret, EndpointParams: url.Values{"resource": {"https://else.example.com"}}},
		"unsupported_grant_type": {
			ClientID: k.ID, ClientSecret: k.Secret, EndpointParams: url.Values{"grant_type": {"password"}},
		},
		"invalid_request": {
			ClientID: k.ID, ClientSecret: k.Secret, EndpointParams: url.Values{"audience": {"astronomer-ee", "astronomer-ee"}},
		},
	} {
		for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams, oauth2.AuthStyleAutoDetect} {
			t.Run(fmt.Sprintf("%s/%d", code, style), func(t *testing.T) {
				config.TokenURL, config.AuthStyle = g.URL(g.port, "/oauth/token"), style
				_, err := config.Token(t.Context())
				var refused *oauth2.RetrieveError
				if !errors.As(err, &refused) || refused.ErrorCode != code || refused.ErrorDescription == "" {
					t.Errorf("the client's error is %v, want one with the code %s and a description", err, code)
				}
			})
		}
	}
}

// documentedCurl is the command of the product's documents, but for the URL.
const documentedCurl = `curl --location --request POST "$URL/oauth/token" \
        --header "content-type: application/json" \
        --data-raw "{
            \"client_id\": \"<api-key-id>\",
            \"client_secret\": \"<api-key-secret>\",
            \"audience\": \"astronomer-ee\",
            \"grant_type\": \"client_credentials\"}" | jq -r '.access_token'`

// TestDocumentedCurl runs the command by a shell, with the curl and the jq that there are, as a job does.
func TestDocumentedCurl(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		g := oauthSite(t, s)
		k := g.newKey(t, "dep1")
		line := strings.NewReplacer("<api-key-id>", k.ID, "<api-key-secret>", k.Secret).Replace(documentedCurl)
		token := strings.TrimSuffix(string(runShell(t, g, line)), "\n")
		body := g.get(t, "dep1", token).Want(http.StatusOK).Body
		if want := "dep1 " + k.ID + " " + allScopes; string(body) != want {
			t.Errorf("the identity is %q, want %q", body, want)
		}
	})
}

// Other ways that people have to say the same to curl.
func TestCurlWithAForm(t *testing.T) {
	t.Parallel()
	g := oauthSite(t, embedded(t))
	k := g.newKey(t, "dep1")
	fill := strings.NewReplacer("ID", k.ID, "SECRET", k.Secret)
	for name, line := range map[string]string{
		"plain form": `curl -sS "$URL/oauth/token" -d grant_type=client_credentials -d client_id=ID -d client_secret=SECRET`,
		"user":       `curl -sS -u ID:SECRET "$URL/oauth/token" -d grant_type=client_credentials`,
		"HTTP/1.0":   `curl -sS --http1.0 -u ID:SECRET "$URL/oauth/token" -d grant_type=client_credentials`,
		"chunked":    `curl -sS -H "Transfer-Encoding: chunked" -u ID:SECRET "$URL/oauth/token" -d grant_type=client_credentials`,
		"encoded":    `curl -sS "$URL/oauth/token" --data-urlencode grant_type=client_credentials --data-urlencode client_id=ID --data-urlencode client_secret=SECRET`,
		"json":       `curl -sS --json '{"grant_type":"client_credentials","client_id":"ID","client_secret":"SECRET"}' "$URL/oauth/token"`,
		"expect":     `curl -sS -H "Expect: 100-continue" -u ID:SECRET "$URL/oauth/token" -d grant_type=client_credentials`,
	} {
		t.Run(name, func(t *testing.T) {
			g.wantTokenOf(t, k, runShell(t, g, fill.Replace(line)))
		})
	}
}

// runShell runs a line with the address of a gateway in URL and returns what it prints.
func runShell(t *testing.T, g *site, line string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sh", "-c", line)
	command.Env = append(command.Environ(), "URL="+g.issuer(), "no_proxy=*")
	var complaint bytes.Buffer
	command.Stderr = &complaint
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.Bytes())
	}
	return printed
}

// wantTokenOf holds that a text is an answer of the token endpoint with a token that is good for the key's Deployment.
func (s *site) wantTokenOf(t *testing.T, k key, text []byte) {
	t.Helper()
	var answer grant
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	body := s.get(t, k.DeploymentID, answer.AccessToken).Want(http.StatusOK).Body
	if want := k.DeploymentID + " " + k.ID + " " + allScopes; string(body) != want {
		t.Errorf("the identity is %q, want %q", body, want)
	}
}
