"""Keras 2.3.1 on symtensor: an autoencoder squeezes digits into eight numbers.

It must rebuild held-out images better than the best linear map to eight numbers does, which is what
principal component analysis gives.
"""

import os

os.environ["KERAS_BACKEND"] = "symtensor.backend"

import numpy as np
from keras import layers, models, optimizers
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

CODE = 8


def main():
    np.random.seed(0)
    images = (load_digits(return_X_y=True)[0] / 16).astype("f4")
    images = images[np.random.default_rng(0).permutation(len(images))]
    training, held_out = images[:1400], images[1400:]

    picture = layers.Input((64,))
    code = layers.Dense(CODE)(layers.Dense(128, activation="elu")(picture))
    rebuilt = layers.Dense(64, activation="sigmoid")(layers.Dense(128, activation="elu")(code))
    model = models.Model(picture, rebuilt)
    model.compile(optimizers.Adam(0.002), "mse")
    model.fit(training, training, batch_size=32, epochs=60, verbose=0)

    error = model.evaluate(held_out, held_out, verbose=0)
    linear = PCA(CODE).fit(training)
    least = np.mean((linear.inverse_transform(linear.transform(held_out)) - held_out) ** 2)
    codes = models.Model(picture, code).predict(held_out)
    print(f"squared error {error:.4f}, of the best linear map {least:.4f}; codes {codes.shape}")
    assert error < least


if __name__ == "__main__":
    main()
