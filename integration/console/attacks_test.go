package console

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

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
