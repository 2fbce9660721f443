"""A DAG of one short task for Airflow 2, to try the gateway with."""

from airflow.decorators import dag, task


@dag(schedule=None, catchup=False)
def hello():
    @task
    def greet():
        print("hello")

    greet()


hello()
