"""Keras on JAX: `model.fit` with validation data; the best weights are restored."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras

from ..training_case import TrainingCase

NAME, PACKAGES = "Keras on JAX, fit", ("keras", "jax")


def build(case: TrainingCase):
    train, validation = case.rows()
    hidden = [keras.layers.Dense(size, "relu") for size in case.sizes[1:-1]]
    model = keras.Sequential([keras.Input(case.sizes[:1]), *hidden, keras.layers.Dense(case.sizes[-1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(case.rate)
    model.compile(optimizer, loss, metrics=["accuracy"])
    optimizer.build(model.trainable_variables)
    fresh = [variable.numpy() for variable in optimizer.variables]

    def call():  # the model is compiled once, and starts anew
        model.set_weights([layer[name] for layer in case.start() for name in ("w", "b")])
        for variable, value in zip(optimizer.variables, fresh, strict=True):
            variable.assign(value)
        best = keras.callbacks.EarlyStopping(patience=case.epochs, restore_best_weights=True)
        fitted = model.fit(*train, case.batch, case.epochs, verbose=0, validation_data=validation, callbacks=[best])
        return fitted.history["val_accuracy"]

    return call
