// Package airflow tests gateways in front of real Airflows, started from examples/airflow. It has tests only, and
// `make test-airflow` runs them: they install Airflow, which takes minutes the first time.
package airflow
