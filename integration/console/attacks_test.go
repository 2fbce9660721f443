package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// attacks are texts that are a program, if somebody makes HTML, or an address, or a template, of them.
var attacks = []string{
	`<script>window.pwned=1</script>`,
	`<img src=x onerror="window.pwned=1">`,
	`"><svg onload=window.pwned=1>`,
	`'-window.pwned=1-'`,
	`</template><script>window.pwned=1</script>`,
	`javascript:window.pwned=1//`,
	`{{.Reason}}${window.pwned=1}`,
}

// TestTextsStayTexts has programs as names, descriptions and users, and looks at them in each page and dialog.
func TestTextsStayTexts(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		user := attacks[1]
		b := startBrowser(t, s)
		for i, text := range attacks {
			id := fmt.Sprintf("d%d", i)
			gatewaytest.Call(t, http.MethodPost, s.Admin("/deployments"), map[string]any{"id": id, "name": text, "description": text}).Want(http.StatusCreated)
			gatewaytest.Call(t, http.MethodPut, s.Admin("/deployments/"+id+"/members/"+url.PathEscape(user)), map[string]any{"role": "admin"}).Want(http.StatusOK)
		}
		const id = "d0"
		for _, text := range attacks {
			gatewaytest.Call(t, http.MethodPost, s.Admin("/deployments/"+id+"/keys"), map[string]any{"name": text, "description": text}).Want(http.StatusCreated)
			gatewaytest.Call(t, http.MethodPut, s.Admin("/deployments/"+id+"/members/"+url.PathEscape(text)), map[string]any{"role": "admin"}).Want(http.StatusOK)
		}
		harmless := func() {
			t.Helper()
			b.settled()
			if eval[bool](b, `() => "pwned" in window || document.querySelector("img, svg, script:not([type=module])") !== null`) {
				t.Fatal("a text was taken for a program")
			}
		}

		b.signIn(user)
		b.see("Signed in as " + user)
		for _, text := range attacks {
			b.see(text)
		}
		harmless()
		b.fill("Search Deployments", "pwned")
		b.see("of 7 Deployments")
		b.fill("Search Deployments", attacks[0]+" is not there")
		b.see("Nothing matches")
		harmless()
		for _, tab := range []string{"keys", "members"} {
			b.open("/deployments/" + id + "/" + tab)
			for _, text := range attacks {
				b.see(text)
			}
			harmless()
		}
		b.clickIn(attacks[0], "Remove")
		b.see("Remove " + attacks[0] + "?")
		harmless()
		b.click("Cancel")
		b.open("/deployments/" + id + "/keys")
		b.clickIn(attacks[2], "Edit")
		b.see("Edit " + attacks[2])
		b.click("Delete API Key")
		b.see("Type " + attacks[2] + " to confirm")
		harmless()
		b.fill("Type "+attacks[2]+" to confirm", attacks[2])
		b.click("Delete API Key")
		b.see("API Key " + attacks[2] + " is deleted.")
		b.click("Add API Key")
		b.fill("Name", attacks[4])
		b.fill("Description", attacks[0])
		b.click("Create API Key")
		b.see("Your new API Key: " + attacks[4])
		harmless()
		b.click("I've saved the Key Secret")
		b.open("/deployments/" + id + "/connect")
		harmless()
		// What is typed there is put into programs to copy. It must not end the quotes that it stands in.
		b.fill("Airflow API", `https://airflow.example.com/'; rm -rf "$HOME" #`)
		harmless()
		const quoted = `'https://airflow.example.com/%27;%20rm%20-rf%20%22%24HOME%22%20/dags'`
		if code := eval[string](b, `() => document.querySelector(".snippet code").innerText`); !strings.Contains(code, quoted) {
			t.Errorf("what was typed as an address has ended its quotes:\n%s", code)
		}
		b.open("/token")
		b.see("Valid until")
		harmless()
		// In the address too.
		for _, text := range attacks {
			b.open("/deployments/" + url.PathEscape(text))
			harmless()
			b.open("/" + url.PathEscape(text) + "?" + url.QueryEscape(text) + "#" + url.PathEscape(text))
			harmless()
		}
		b.wantQuiet("404", "400")
	}, attacks[1])
}

// foreignPage is a page that attacks a console with whatever a browser lets a page send, as the user who is signed in
// there. A form ends the page, so that each form is on one of its own.
const foreignPage = `<!DOCTYPE html><title>%[3]s</title>
<form id="form" method="post" action="%[1]s%[2]s" enctype="text/plain"><input name='{"name": "mine", "description": "' value='"}'></form>
<iframe src="%[1]s/deployments/etl"></iframe>`

// TestOtherSitesChangeNothing attacks from a page of another site, and of another port of the same host.
func TestOtherSitesChangeNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		s.newDeployment(t, "etl", "Nightly ETL")
		key := s.NewKey(t, "etl")
		before := s.state(t)
		attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, foreignPage, s.origin(), r.URL.Query().Get("target"), "A page of another site")
		}))
		t.Cleanup(attacker.Close)
		b := openBrowser(t, s, admin)
		keyPath := "/api/deployments/etl/keys/" + key.ID
		targets := []struct{ method, path string }{
			{"POST", "/api/deployments/etl/keys"},
			{"POST", "/api/deployments/etl/revoke_tokens"},
			{"POST", keyPath + "/rotate"},
			{"POST", keyPath + "/revoke_tokens"},
			{"DELETE", keyPath},
			{"PATCH", "/api/deployments/etl"},
			{"PUT", "/api/deployments/etl/members/" + viewer},
		}
		for _, from := range []string{attacker.URL, strings.Replace(attacker.URL, "127.0.0.1", "localhost", 1)} {
			b.do(chromedp.Navigate(from))
			for _, target := range targets {
				// Without asking first, and with everything that a browser has to ask about.
				sent := eval[string](b, `async (method, url) => {
					let said = "";
					for (const options of [
						{mode: "no-cors", headers: {"Content-Type": "text/plain"}, body: '{"name": "mine"}'},
						{mode: "no-cors"},
						{mode: "cors", headers: {"Content-Type": "application/json", "X-Requested-With": "deployment-console"}, body: '{"name": "mine"}'},
					]) {
						try {
							const answer = await fetch(url, {method, credentials: "include", ...options});
							said += " " + answer.type;
						} catch (error) { said += " " + error.name; }
					}
					return said;
				}`, target.method, s.origin()+target.path)
				if strings.Contains(sent, "cors") || strings.Contains(sent, "basic") {
					t.Errorf("%s %s from %s: another site can read the answer:%s", target.method, target.path, from, sent)
				}
				if target.method != "POST" {
					continue // forms have no other
				}
				b.do(chromedp.Navigate(from + "/?target=" + url.QueryEscape(target.path)))
				eval[bool](b, `() => { document.getElementById("form").submit(); return true; }`)
				b.see("this request comes from a page of another site")
				b.do(chromedp.Navigate(from))
			}
		}
		if after := s.state(t); after != before {
			t.Errorf("something was changed:\n%s\nbefore:\n%s", after, before)
		}
		b.mu.Lock()
		console := strings.Join(b.console, "\n")
		b.mu.Unlock()
		if !strings.Contains(console, "frame-ancestors") {
			t.Errorf("the console was put in a frame: %s", console)
		}
		// Who is signed in can do it from the console's own page, so it was not for want of a password.
		b.open("/deployments")
		if status := b.fetch("POST", keyPath+"/revoke_tokens", ""); status != http.StatusNoContent {
			t.Errorf("the own page was answered %d", status)
		}
	})
}
