"""A DAG of one short task, to try the gateway with."""

from airflow.sdk import dag, task


@dag(schedule=None, catchup=False)
def hello():
    @task
    def greet():
        print("hello")

    greet()


hello()
