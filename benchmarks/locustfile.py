"""locust's side of the comparison in loadtest.py: users that call the server over gRPC without a pause."""

import time

import grpc
import grpc.experimental.gevent
from locust import User, constant, task

grpc.experimental.gevent.init_gevent()
METHOD = "/tensorflow.serving.PredictionService/Predict"
MESSAGE = bytes(3185)


class Caller(User):
    wait_time = constant(0)

    def on_start(self):
        self.call = grpc.insecure_channel(self.host).unary_unary(METHOD)

    @task
    def predict(self):
        began, failure, size = time.perf_counter(), None, 0
        try:
            size = len(self.call(MESSAGE))
        except grpc.RpcError as error:
            failure = error
        self.environment.events.request.fire(
            request_type="grpc",
            name="Predict",
            response_time=1e3 * (time.perf_counter() - began),
            response_length=size,
            exception=failure,
            context={},
        )
