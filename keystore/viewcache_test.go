package keystore

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// testCache caches keys whose Deployment is the first four characters of their names.
func testCache(size int) *viewCache[string, Key] {
	return newViewCache(size, func(_ context.Context, name string) (Key, error) {
		if name == "none" {
			return Key{}, notFound("key", name)
		}
		return Key{ID: name, DeploymentID: name[:4]}, nil
	}, deploymentOfKey)
}

func (c *viewCache[K, V]) listed() (n int) {
	c.indexMu.Lock()
	defer c.indexMu.Unlock()
	for _, entries := range c.byDeployment {
		n += len(entries)
	}
	return n
}

// What is evicted, replaced or forgotten does not stay among the entries of its Deployment.
func TestEntriesOfDeploymentsAreBounded(t *testing.T) {
	t.Parallel()
	c := testCache(10)
	defer c.close()
	for i := range 1_000 {
		if _, err := c.ask(t.Context(), fmt.Sprintf("d%03d", i%100)); err != nil {
			t.Fatal(err)
		}
	}
	c.known.CleanUp()
	if listed, size := c.listed(), c.size(); size == 0 || size > 10 || listed != size {
		t.Errorf("%d entries are cached and %d are listed by Deployment", size, listed)
	}
	if _, err := c.ask(t.Context(), "none"); !errors.Is(err, ErrNotFound) || c.listed() > 10 {
		t.Errorf("%v, %d are listed", err, c.listed())
	}
	c.forgetAll()
	if len(c.byDeployment) != 0 || c.size() != 0 {
		t.Errorf("%d Deployments and %d entries are left", len(c.byDeployment), c.size())
	}
}

// Deletes while a load does not end are counted, and their number is bounded.
func TestDeletesDuringALoadAreBounded(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan struct{}, maxLoads), make(chan struct{})
	c := newViewCache(10, func(context.Context, string) (Key, error) {
		began <- struct{}{}
		<-goOn
		return Key{DeploymentID: "dep1"}, nil
	}, deploymentOfKey)
	defer c.close()
	l, _ := c.begin("key")
	go c.fill(t.Context(), "key", l)
	<-began
	for i := range maxDeleted {
		c.forgetDeployment(fmt.Sprint(i))
	}
	if len(c.deleted) != maxDeleted || c.wasStale(l) {
		t.Errorf("%d Deployments are counted, the load is stale: %t", len(c.deleted), c.wasStale(l))
	}
	c.forgetDeployment("one more")
	close(goOn)
	<-l.done
	if _, cached := c.get("key"); len(c.deleted) != 0 || !c.wasStale(l) || cached {
		t.Errorf("%d Deployments are counted, the load is stale: %t, and cached: %t", len(c.deleted), c.wasStale(l), cached)
	}
}

// BenchmarkForgetDeployment is the delete of one Deployment with 100 keys, of 100,000 that are cached.
func BenchmarkForgetDeployment(b *testing.B) {
	c := testCache(2 * DefaultViewSize)
	defer c.close()
	fill := func(id string) {
		for i := range 100 {
			if _, err := c.ask(b.Context(), fmt.Sprintf("%s%d", id, i)); err != nil {
				b.Fatal(err)
			}
		}
	}
	for i := range DefaultViewSize / 100 {
		fill(fmt.Sprintf("d%03d", i))
	}
	for b.Loop() {
		c.forgetDeployment("d000")
		b.StopTimer()
		fill("d000")
		b.StartTimer()
	}
}
