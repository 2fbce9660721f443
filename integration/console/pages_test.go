package console

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// TestAdministratorsManageDeployments makes a Deployment, changes it, adds a member to it and deletes it.
func TestAdministratorsManageDeployments(t *testing.T) {
	eachStore(t, func(t *testing.T, s *site) {
		b := openBrowser(t, s, administrator)
		b.see("No Deployments yet")
		b.click("Create Deployment")
		b.click("Create Deployment")
		b.see("Name is missing.")
		b.fill("Name", "Nightly ETL")
		b.fill("ID", "Not a label")
		b.click("Create Deployment")
		b.see("Use a-z, 0-9 and -")
		b.fill("ID", "etl")
		b.click("Create Deployment")
		b.click("Nightly ETL")
		b.click("Edit Deployment")
		b.fill("Description", "Loads the warehouse")
		b.click("Save")
		b.see("Loads the warehouse")

		b.click("Members")
		b.click("Add member")
		b.fill("User", stranger)
		b.click("Editor also changes things in Airflow, and deploys code")
		b.click("Add member")
		b.see(stranger + " is editor now.")
		token := s.userToken(t, stranger)
		write := func(want int) {
			t.Helper()
			gatewaytest.Call(t, http.MethodPost, s.URL(s.jobs, "/etl/api/v2/dags"), nil, gatewaytest.Bearer(token)).Want(want)
		}
		write(http.StatusOK)
		b.choose("Role of "+stranger, "viewer")
		b.see(stranger + " is viewer now.")
		write(http.StatusForbidden)
		b.clickIn(stranger, "Remove")
		b.click("Remove")
		b.see("No members yet")

		b.click("Edit Deployment")
		b.click("Delete Deployment")
		b.fill("Type etl to confirm", "etl")
		b.click("Delete Deployment")
		b.see("No Deployments yet")
		b.wantQuiet()
	})
}

// userToken is the personal token of a user.
func (s *site) userToken(t *testing.T, user string) string {
	t.Helper()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	gatewaytest.Call(t, http.MethodPost, s.origin()+"/token", nil, gatewaytest.Basic(user, password)).Want(http.StatusOK).JSON(&answer)
	return answer.AccessToken
}

// choose chooses an option of a list with a name.
func (b *browser) choose(name, value string) {
	b.t.Helper()
	await[bool](b, fmt.Sprintf("the list %q", name), `(name, value) => {`+inView+`
		const [select] = [...scope.querySelectorAll("select")].filter((element) => element.getAttribute("aria-label") === name);
		if (!select) return null;
		select.value = value;
		select.dispatchEvent(new Event("change", {bubbles: true}));
		return true;
	}`, name, value)
}

// TestSnippetsWork runs what Connect and the page of the user's token give to copy.
func TestSnippetsWork(t *testing.T) {
	t.Parallel()
	s := startSite(t, embedded(t))
	s.newDeployment(t, "billing", "Billing reports")
	key := s.NewKey(t, "billing")
	b := openBrowser(t, s, viewer)
	b.open("/deployments/billing/connect")
	run := func(program string, variables ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", "-c", program)
		cmd.Env = append(cmd.Environ(), variables...)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%v: %s\n%s", err, out, program)
		}
		return string(out)
	}
	credentials := []string{"DEPLOYMENT_KEY_ID=" + key.ID, "DEPLOYMENT_KEY_SECRET=" + key.Secret}
	want := "Airflow of billing for " + key.ID
	if got := run(b.copied("curl"), credentials...); !strings.Contains(got, want) {
		t.Errorf("curl: %s", got)
	}
	python := "python3 - <<'PYTHON'\n" + b.copied("Python") + "\nPYTHON\n"
	if got := run(python, credentials...); !strings.Contains(got, want) {
		t.Errorf("Python: %s", got)
	}
	gateway := s.URL(s.jobs, "")
	for title, words := range map[string][]string{
		"GitHub Actions": {"GATEWAY: " + gateway + "\n", "DEPLOYMENT: billing\n", "environment: billing\n", "group: deploy-billing\n"},
		"GitLab CI":      {"GATEWAY: " + gateway + "\n", "DEPLOYMENT: billing\n", "resource_group: deploy-billing\n"},
		"Jenkins":        {"GATEWAY = '" + gateway + "'", "DEPLOYMENT = 'billing'", "credentialsId: 'deployment-key-billing'"},
	} {
		code := b.copied(title)
		for _, word := range words {
			if !strings.Contains(code, word) {
				t.Errorf("%s: %q is not in\n%s", title, word, code)
			}
		}
		if strings.Contains(code, "etl") || strings.Contains(code, "AIRFLOW_URL") || strings.Contains(code, key.ID) {
			t.Errorf("%s: something of another Deployment, or too much, is in\n%s", title, code)
		}
	}
	b.fill("Airflow API", "https://billing.airflow.example.com/api/v2/")
	for title, line := range map[string]string{
		"curl":           "'https://billing.airflow.example.com/api/v2/dags'",
		"GitHub Actions": "          DAG_ID: hello\n          AIRFLOW_URL: https://billing.airflow.example.com/api/v2\n",
		"Jenkins":        "        AIRFLOW_URL = 'https://billing.airflow.example.com/api/v2'\n",
	} {
		if code := b.copied(title); !strings.Contains(code, line) {
			t.Errorf("%s: %q is not in\n%s", title, line, code)
		}
	}

	b.open("/token")
	b.see("Valid until")
	token := eval[string](b, `() => document.getElementById("token-text").innerText`)
	b.click("Copy token")
	b.wantClipboard(token)
	keep := b.copied("Keep the token in the shell")
	// The token is pasted, which here is a pipe.
	script := strings.Replace(keep, "read ", "printf '%s\\n' \"$PASTED\" | { read ", 1) + "\n" + b.copied("curl") + "\n}"
	if got := run(script, "PASTED="+token); !strings.Contains(got, "Airflow of billing for "+viewer) {
		t.Errorf("the token of the page: %s", got)
	}
	b.wantQuiet()
}

// copied is the code with a title, as its button copies it.
func (b *browser) copied(title string) string {
	b.t.Helper()
	b.click("Copy " + title)
	return await[string](b, "the code "+title, `async (title) => {`+inView+`
		const section = [...document.querySelectorAll(".snippet")].find((section) => plain(section.querySelector("h2").innerText) === title);
		const code = section?.querySelector("code").textContent;
		return code && await navigator.clipboard.readText() === code ? code : null;
	}`, title)
}

// TestBannerWhenTheStoreIsAway takes the Redis away and brings it back.
func TestBannerWhenTheStoreIsAway(t *testing.T) {
	t.Parallel()
	s := startSite(t, onRedis(t))
	s.newDeployment(t, "etl", "Nightly ETL")
	b := openBrowser(t, s, admin)
	s.redis.Kill()
	b.open("/deployments/etl")
	b.see("The store of the keys cannot be reached")
	b.see("This could not be loaded")
	b.see("Try again")
	s.redis.Restart()
	s.newDeployment(t, "etl", "Nightly ETL") // that Redis keeps nothing
	b.seeNot("The store of the keys cannot be reached")
	b.see("No API Keys yet")
	b.see("Nightly ETL")
	b.see("Add API Key")
	b.wantQuiet("503")
}

// TestTenThousandKeys pages and searches through 10,000 keys, and prints how long the first page takes.
func TestTenThousandKeys(t *testing.T) {
	t.Parallel()
	const many = 10_000
	s := startSite(t, embedded(t))
	s.newDeployment(t, "etl", "Nightly ETL")
	s.newDeployment(t, "small", "Small")
	s.NewKey(t, "small")
	s.manyKeys(t, "etl", many)

	b := openBrowser(t, s, admin)
	// When there are rows, the page can be used.
	b.must(chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		new MutationObserver((_, observer) => {
			if (!document.querySelector("tbody tr")) return;
			requestAnimationFrame(() => { window.usable = performance.now(); });
			observer.disconnect();
		}).observe(document, {childList: true, subtree: true});`}))
	for _, path := range []string{"/deployments", "/deployments/small", "/deployments/etl"} {
		var times []time.Duration
		for range 7 {
			b.open(path)
			ms := await[float64](b, "rows at "+path, `() => window.usable ?? null`)
			times = append(times, time.Duration(ms*float64(time.Millisecond)))
		}
		slices.Sort(times)
		median := times[len(times)/2].Round(time.Millisecond)
		t.Logf("figure: %s can be used after %s, the median of %d, with the race detector (%s to %s)", path, median, len(times),
			times[0].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
		if median > 3*time.Second {
			t.Errorf("%s can be used after %s only", path, median)
		}
	}

	b.see("10,000 keys")
	b.see("1–50 of 10,000")
	first := eval[string](b, firstRow)
	b.click("Next")
	b.see("51–100 of 10,000")
	if second := eval[string](b, firstRow); second == first {
		t.Errorf("both pages begin with %s", first)
	}
	b.click("Previous")
	b.see("1–50 of 10,000")
	if again := eval[string](b, firstRow); again != first {
		t.Errorf("the first page begins with %s, and now with %s", first, again)
	}
	b.fill("Search API Keys", "key 9999")
	b.see("1 of 10,000 keys")
	b.see("key 9999")
	if rows := eval[int](b, `() => document.querySelectorAll("tbody tr").length`); rows != 1 {
		t.Errorf("the search has found %d rows", rows)
	}
	// A new key is seen at once, although it is the last in the order of the list.
	b.fill("Search API Keys", "")
	b.click("Add API Key")
	b.fill("Name", "the newest")
	b.click("Create API Key")
	b.click("I've saved the Key Secret")
	b.see("the newest")
	b.see("1–50 of 10,001")
	b.wantQuiet()
}

const firstRow = `() => document.querySelector("tbody tr").dataset.id`

// manyKeys makes keys named key 1, key 2 and so on, some at a time.
func (s *site) manyKeys(t *testing.T, deployment string, n int) {
	t.Helper()
	numbers := make(chan int)
	client := &http.Client{Timeout: gatewaytest.Patience} // which keeps its connections
	defer client.CloseIdleConnections()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range numbers {
				answer, err := client.Post(s.Admin("/deployments/"+deployment+"/keys"), "application/json", strings.NewReader(fmt.Sprintf(`{"name": "key %d"}`, i)))
				if err != nil {
					t.Errorf("key %d: %v", i, err)
					continue
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if answer.StatusCode != http.StatusCreated {
					t.Errorf("key %d: status %d", i, answer.StatusCode)
				}
			}
		})
	}
	for i := range n {
		numbers <- i + 1
	}
	close(numbers)
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
