"""Keras 2.3.1 on symtensor: a multilayer perceptron finds breast cancer, and stops in time.

Batch normalization, dropout, a learning rate that falls and early stopping on validation data; it must rank
held-out patients at least as well as logistic regression does, within a percent.
"""

import os

os.environ["KERAS_BACKEND"] = "symtensor.backend"

import numpy as np
from keras import callbacks, layers, models, optimizers
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score


def main():
    np.random.seed(0)
    features, ill = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(0)) / features.std(0)
    order = np.random.default_rng(0).permutation(len(ill))
    training, held_out = order[:400], order[400:]

    model = models.Sequential([
        layers.Dense(32, use_bias=False, input_shape=(30,), kernel_regularizer="l2"),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.Dropout(0.3),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    slower = callbacks.ReduceLROnPlateau("val_loss", 0.5, patience=3)
    stop = callbacks.EarlyStopping("val_loss", patience=8, restore_best_weights=True)
    history = model.fit(
        features[training], ill[training], batch_size=32, epochs=60, verbose=0,
        validation_split=0.2, callbacks=[slower, stop],
    )  # fmt: skip

    _, accuracy = model.evaluate(features[held_out], ill[held_out], verbose=0)
    area = roc_auc_score(ill[held_out], model.predict(features[held_out])[:, 0])
    linear = LogisticRegression(max_iter=1000).fit(features[training], ill[training])
    wanted = roc_auc_score(ill[held_out], linear.decision_function(features[held_out]))
    print(
        f"{len(history.epoch)} epochs, {accuracy:.1%} right, area under the curve {area:.3f}"
        f" (logistic regression {wanted:.3f})"
    )
    assert area > wanted - 0.01 and accuracy > 0.93


if __name__ == "__main__":
    main()
