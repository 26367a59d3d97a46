"""What course notebooks do, small: autoencoders, GANs, gradients of images."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops

rng = np.random.default_rng(7)
IMAGES = rng.random((32, 8, 8, 1)).astype("float32")
FLAT = IMAGES.reshape(32, 64)


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    keras.utils.set_random_seed(5)


# ---- autoencoders --------------------------------------------------------------------------------
def test_autoencoder_with_separate_encoder_and_decoder():
    """The first Keras tutorial: three models that share layers."""
    input_img = keras.Input(shape=(64,))
    encoded = layers.Dense(16, activation="relu", activity_regularizer=keras.regularizers.l1(1e-6))(input_img)
    decoded = layers.Dense(64, activation="sigmoid")(encoded)
    autoencoder = keras.Model(input_img, decoded)
    encoder = keras.Model(input_img, encoded)
    encoded_input = keras.Input(shape=(16,))
    decoder_layer = autoencoder.layers[-1]
    decoder = keras.Model(encoded_input, decoder_layer(encoded_input))
    autoencoder.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy")
    history = autoencoder.fit(FLAT, FLAT, epochs=20, batch_size=8, shuffle=True,
                              validation_data=(FLAT, FLAT), verbose=0)
    assert history.history["val_loss"][-1] < history.history["val_loss"][0]
    codes = encoder.predict(FLAT, verbose=0)
    np.testing.assert_allclose(decoder.predict(codes, verbose=0), autoencoder.predict(FLAT, verbose=0),
                               rtol=1e-5)


def test_convolutional_denoising_autoencoder():
    noisy = np.clip(IMAGES + 0.2 * rng.normal(size=IMAGES.shape), 0.0, 1.0)  # float64, as notebooks have it
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(4, (3, 3), activation="relu", padding="same"),
        layers.MaxPooling2D((2, 2), padding="same"),
        layers.Conv2D(4, (3, 3), activation="relu", padding="same"), layers.UpSampling2D((2, 2)),
        layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same"),
    ])
    model.compile(optimizer="rmsprop", loss="mse")
    losses = model.fit(noisy, IMAGES, epochs=6, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.predict(noisy[0:1], verbose=0).shape == (1, 8, 8, 1)


class Sampling(layers.Layer):
    """Uses (z_mean, z_log_var) to sample z."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        batch = ops.shape(z_mean)[0]
        dim = ops.shape(z_mean)[1]
        epsilon = keras.random.normal(shape=(batch, dim), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


def vae_parts():
    inputs = keras.Input(shape=(64,))
    x = layers.Dense(16, activation="relu")(inputs)
    z_mean = layers.Dense(2, name="z_mean")(x)
    z_log_var = layers.Dense(2, name="z_log_var")(x)
    z = Sampling()([z_mean, z_log_var])
    encoder = keras.Model(inputs, [z_mean, z_log_var, z], name="encoder")
    latent = keras.Input(shape=(2,))
    decoder = keras.Model(latent,
                          layers.Dense(64, activation="sigmoid")(layers.Dense(16, activation="relu")(latent)),
                          name="decoder")
    return encoder, decoder


class VAE(keras.Model):
    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")
        self.reconstruction_loss_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")

    @property
    def metrics(self):
        return [self.total_loss_tracker, self.reconstruction_loss_tracker, self.kl_loss_tracker]

    def train_step(self, data):
        with keras.GradientTape() as tape:
            z_mean, z_log_var, z = self.encoder(data)
            reconstruction = self.decoder(z)
            reconstruction_loss = ops.mean(ops.sum(keras.losses.binary_crossentropy(
                ops.expand_dims(data, -1), ops.expand_dims(reconstruction, -1)), axis=1))
            kl_loss = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
            kl_loss = ops.mean(ops.sum(kl_loss, axis=1))
            total_loss = reconstruction_loss + kl_loss
        grads = tape.gradient(total_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(grads, self.trainable_weights))
        self.total_loss_tracker.update_state(total_loss)
        self.reconstruction_loss_tracker.update_state(reconstruction_loss)
        self.kl_loss_tracker.update_state(kl_loss)
        return {
            "loss": self.total_loss_tracker.result(),
            "reconstruction_loss": self.reconstruction_loss_tracker.result(),
            "kl_loss": self.kl_loss_tracker.result(),
        }


def test_vae_with_a_custom_train_step(capsys):
    """keras.io's variational autoencoder: ``data`` is the batch itself, no targets, no call()."""
    vae = VAE(*vae_parts())
    vae.compile(optimizer=keras.optimizers.Adam(0.01))
    history = vae.fit(FLAT, epochs=8, batch_size=16, verbose=0)
    assert set(history.history) == {"loss", "reconstruction_loss", "kl_loss"}
    assert history.history["loss"][-1] < history.history["loss"][0]
    means, _, samples = vae.encoder.predict(FLAT, verbose=0)
    assert means.shape == samples.shape == (32, 2)
    assert vae.decoder.predict(np.array([[0.5, -0.5]]), verbose=0).shape == (1, 64)
    vae.encoder.summary()
    assert "z_log_var" in capsys.readouterr().out


def test_vae_with_add_loss_on_the_functional_model():
    """tf.keras 2: the loss is a symbolic tensor of the model's inputs and outputs."""
    encoder, decoder = vae_parts()
    inputs = encoder.input
    z_mean, z_log_var, z = encoder(inputs)
    outputs = decoder(z)
    vae = keras.Model(inputs, outputs)
    reconstruction = keras.losses.mse(inputs, outputs) * 64
    kl = -0.5 * ops.sum(1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var), axis=-1)
    vae.add_loss(ops.mean(reconstruction + kl))
    vae.compile(optimizer="adam")
    losses = vae.fit(FLAT, epochs=10, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_vae_with_add_loss_inside_a_layer():
    class KL(layers.Layer):
        def call(self, inputs):
            mean, log_var = inputs
            self.add_loss(-0.5 * ops.mean(1 + log_var - ops.square(mean) - ops.exp(log_var)))
            return inputs

    inputs = keras.Input((64,))
    x = layers.Dense(8, activation="relu")(inputs)
    mean, log_var = KL()([layers.Dense(2)(x), layers.Dense(2)(x)])
    draw = layers.Lambda(lambda p: p[0] + ops.exp(0.5 * p[1]) * keras.random.normal(ops.shape(p[0])))
    z = draw([mean, log_var])
    model = keras.Model(inputs, layers.Dense(64, activation="sigmoid")(z))
    model.compile("adam", "binary_crossentropy")
    losses = model.fit(FLAT, FLAT, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and len(model.losses) == 1


# ---- GANs ----------------------------------------------------------------------------------------
def generator_and_discriminator():
    generator = keras.Sequential([keras.Input((4,)), layers.Dense(16), layers.LeakyReLU(negative_slope=0.2),
                                  layers.Dense(64, activation="sigmoid"), layers.Reshape((8, 8, 1))],
                                  name="generator")
    discriminator = keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(4, 3, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=0.2), layers.GlobalMaxPooling2D(), layers.Dense(1)],
        name="discriminator")
    return generator, discriminator


class GAN(keras.Model):
    def __init__(self, discriminator, generator, latent_dim):
        super().__init__()
        self.discriminator = discriminator
        self.generator = generator
        self.latent_dim = latent_dim
        self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
        self.g_loss_tracker = keras.metrics.Mean(name="g_loss")
        self.seed_generator = keras.random.SeedGenerator(1337)
        self.built = True

    @property
    def metrics(self):
        return [self.d_loss_tracker, self.g_loss_tracker]

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = loss_fn

    def train_step(self, real_images):
        if isinstance(real_images, tuple):
            real_images = real_images[0]
        batch_size = ops.shape(real_images)[0]
        noise = keras.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
        generated = self.generator(noise)
        combined = ops.concatenate([generated, real_images], axis=0)
        labels = ops.concatenate([ops.ones((batch_size, 1)), ops.zeros((batch_size, 1))], axis=0)
        labels += 0.05 * keras.random.uniform(ops.shape(labels), seed=self.seed_generator)
        with keras.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(combined))
        grads = tape.gradient(d_loss, self.discriminator.trainable_weights)
        self.d_optimizer.apply_gradients(zip(grads, self.discriminator.trainable_weights))
        noise = keras.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
        with keras.GradientTape() as tape:
            g_loss = self.loss_fn(ops.zeros((batch_size, 1)), self.discriminator(self.generator(noise)))
        grads = tape.gradient(g_loss, self.generator.trainable_weights)
        self.g_optimizer.apply_gradients(zip(grads, self.generator.trainable_weights))
        self.d_loss_tracker.update_state(d_loss)
        self.g_loss_tracker.update_state(g_loss)
        return {m.name: m.result() for m in self.metrics}


def test_gan_with_two_optimizers_in_train_step(tmp_path):
    generator, discriminator = generator_and_discriminator()
    gan = GAN(discriminator=discriminator, generator=generator, latent_dim=4)
    gan.compile(keras.optimizers.Adam(3e-3), keras.optimizers.Adam(3e-3),
                keras.losses.BinaryCrossentropy(from_logits=True))
    before = [w.copy() for w in gan.get_weights()]

    class Monitor(keras.callbacks.Callback):
        seen = 0

        def on_epoch_end(self, epoch, logs=None):
            images = self.model.generator(keras.random.normal((3, 4))) * 255
            Monitor.seen += len(images.numpy())

    history = gan.fit(IMAGES, epochs=2, batch_size=8, callbacks=[Monitor()], verbose=0)
    assert set(history.history) == {"d_loss", "g_loss"} and Monitor.seen == 6
    assert all((a != b).any() for a, b in zip(before, gan.get_weights()) if a.size > 1)
    gan.save_weights(tmp_path / "gan.weights.h5")
    gan.load_weights(tmp_path / "gan.weights.h5")


def test_dcgan_in_plain_loops():
    """TensorFlow's tutorial: two tapes at once."""
    generator, discriminator = generator_and_discriminator()
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    generator_optimizer, discriminator_optimizer = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-2)

    def train_step(images):
        noise = keras.random.normal([len(images), 4])
        with keras.GradientTape() as gen_tape, keras.GradientTape() as disc_tape:
            real_output = discriminator(images, training=True)
            fake_output = discriminator(generator(noise, training=True), training=True)
            gen_loss = cross_entropy(ops.ones_like(fake_output), fake_output)
            disc_loss = (cross_entropy(ops.ones_like(real_output), real_output)
                         + cross_entropy(ops.zeros_like(fake_output), fake_output))
        gen_gradients = gen_tape.gradient(gen_loss, generator.trainable_variables)
        disc_gradients = disc_tape.gradient(disc_loss, discriminator.trainable_variables)
        generator_optimizer.apply_gradients(zip(gen_gradients, generator.trainable_variables))
        discriminator_optimizer.apply_gradients(zip(disc_gradients, discriminator.trainable_variables))
        return float(gen_loss), float(disc_loss)

    losses = [train_step(IMAGES[i:i + 8]) for _ in range(8) for i in range(0, 32, 8)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-4:], axis=0)[1] < np.mean(losses[:4], axis=0)[1]


def test_wgan_gradient_penalty():
    """Second order: the gradient of the norm of a gradient."""
    critic = keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="tanh"), layers.Dense(1)])
    real, fake = rng.normal(size=(5, 6)).astype("float32"), rng.normal(size=(5, 6)).astype("float32")
    alpha = keras.random.uniform((5, 1), seed=1)
    mixed = real + alpha * (fake - real)
    with keras.GradientTape() as tape:
        with keras.GradientTape() as inner:
            inner.watch(mixed)
            pred = critic(mixed, training=True)
        grads = inner.gradient(pred, mixed)
        norm = ops.sqrt(ops.sum(ops.square(grads), axis=1))
        penalty = ops.mean((norm - 1.0) ** 2)
        loss = ops.mean(critic(fake)) - ops.mean(critic(real)) + 10 * penalty
    kernels = tape.gradient(loss, critic.trainable_weights)
    kernel = critic.layers[0].kernel

    def value():
        with keras.GradientTape() as inner:
            inner.watch(mixed)
            pred = critic(mixed)
        g = inner.gradient(pred, mixed).numpy()
        p = np.mean((np.sqrt((g**2).sum(1)) - 1) ** 2)
        return float(critic(fake).numpy().mean() - critic(real).numpy().mean() + 10 * p)

    start, h = kernel.numpy(), 1e-2
    direction = rng.normal(size=start.shape).astype("float32")
    kernel.assign(start + h * direction)
    up = value()
    kernel.assign(start - h * direction)
    down = value()
    assert float((kernels[0].numpy() * direction).sum()) == pytest.approx((up - down) / (2 * h), rel=2e-2)


def test_gan_of_the_old_kind_with_train_on_batch():
    """Standalone Keras: compile, freeze, stack, compile again; labels of shape (n, 1)."""
    generator, _ = generator_and_discriminator()
    discriminator = keras.Sequential([
        layers.Flatten(input_shape=(8, 8, 1)), layers.Dense(8, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ])
    discriminator.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(0.001, 0.5),
                          metrics=["accuracy"])
    z = keras.Input(shape=(4,))
    discriminator.trainable = False
    combined = keras.Model(z, discriminator(generator(z)))
    combined.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(0.001, 0.5))
    valid, fake = np.ones((8, 1)), np.zeros((8, 1))
    frozen = discriminator.get_weights()
    g_loss = combined.train_on_batch(np.random.normal(0, 1, (8, 4)), valid)
    assert all((a == b).all() for a, b in zip(frozen, discriminator.get_weights()))
    for _ in range(3):
        gen_imgs = generator.predict(np.random.normal(0, 1, (8, 4)), verbose=0)
        d_loss_real = discriminator.train_on_batch(IMAGES[:8], valid)
        d_loss_fake = discriminator.train_on_batch(gen_imgs, fake)
        d_loss = 0.5 * np.add(d_loss_real, d_loss_fake)
    assert any((a != b).any() for a, b in zip(frozen, discriminator.get_weights()))
    values = (3, d_loss[0], 100 * d_loss[1], g_loss)
    text = "%d [D loss: %f, acc.: %.2f%%] [G loss: %f]" % values  # noqa: UP031
    assert text.startswith("3 [D loss: 0.") or text.startswith("3 [D loss: 1.")


# ---- looking into a network ----------------------------------------------------------------------
def convnet():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", padding="same", name="first_conv")(inputs)
    x = layers.Conv2D(6, 3, activation="relu", padding="same", name="last_conv")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="predictions")(x))


def test_activations_of_all_layers():
    model = convnet()
    activation_model = keras.Model(inputs=model.input, outputs=[layer.output for layer in model.layers[1:]])
    activations = activation_model.predict(IMAGES[:1], verbose=0)
    assert [a.shape for a in activations] == [(1, 8, 8, 4), (1, 8, 8, 6), (1, 6), (1, 3)]
    filters, biases = model.layers[1].get_weights()
    assert filters.shape == (3, 3, 1, 4) and biases.shape == (4,)
    assert model.get_layer("last_conv").output.shape == (None, 8, 8, 6)
    assert model.layers[1].output_shape == (None, 8, 8, 4)
    assert model.layers[2].input_shape == (None, 8, 8, 4)


def test_saliency_and_grad_cam():
    model = convnet()
    image = ops.convert_to_tensor(IMAGES[:1])
    with keras.GradientTape() as tape:
        tape.watch(image)
        predictions = model(image)
        best = int(ops.argmax(predictions[0]))
        score = predictions[:, best]
    saliency = ops.max(ops.abs(tape.gradient(score, image)), axis=-1)
    assert saliency.shape == (1, 8, 8) and float(ops.max(saliency)) > 0

    grad_model = keras.Model(model.inputs, [model.get_layer("last_conv").output, model.output])
    with keras.GradientTape() as tape:
        last_conv, preds = grad_model(IMAGES[:1])
        pred_index = ops.argmax(preds[0])
        class_channel = preds[:, pred_index]
    grads = tape.gradient(class_channel, last_conv)
    pooled_grads = ops.mean(grads, axis=(0, 1, 2))
    heatmap = ops.squeeze(last_conv[0] @ pooled_grads[..., None])
    heatmap = ops.maximum(heatmap, 0) / (ops.max(ops.abs(heatmap)) + 1e-9)
    assert heatmap.numpy().shape == (8, 8) and np.isfinite(heatmap.numpy()).all()


def test_deep_dream_gradient_ascent_on_the_input():
    model = convnet()
    extractor = keras.Model(model.input, {n: model.get_layer(n).output for n in ("first_conv", "last_conv")})

    def loss_of(image):
        features = extractor(image)
        return sum(ops.mean(ops.square(features[n][:, 1:-1, 1:-1, :])) for n in ("first_conv", "last_conv"))

    image = keras.Variable(IMAGES[:1])
    losses = []
    for _ in range(5):
        with keras.GradientTape() as tape:
            loss = loss_of(image)
        grads = tape.gradient(loss, image)
        grads /= ops.maximum(ops.mean(ops.abs(grads)), 1e-6)
        image.assign_add(0.05 * grads)
        image.assign(ops.clip(image, 0.0, 2.0))
        losses.append(float(loss))
    assert losses[-1] > losses[0]


def test_style_transfer_with_gram_matrices():
    model = convnet()
    features = keras.Model(model.input, model.get_layer("first_conv").output)

    def gram(x):
        return ops.einsum("bijc,bijd->bcd", x, x) / float(x.shape[1] * x.shape[2])

    x = features(IMAGES[:1]).numpy()[0].reshape(64, 4)
    np.testing.assert_allclose(gram(features(IMAGES[:1]))[0].numpy(), x.T @ x / 64, rtol=1e-4)
    target = gram(features(IMAGES[1:2]))
    image = keras.Variable(IMAGES[:1])
    optimizer = keras.optimizers.Adam(learning_rate=0.02)
    losses = []
    for _ in range(20):
        with keras.GradientTape() as tape:
            loss = ops.mean(ops.square(gram(features(image)) - target))
            loss += 1e-4 * ops.sum(ops.square(image[:, 1:, :, :] - image[:, :-1, :, :]))
        optimizer.apply_gradients([(tape.gradient(loss, image), image)])
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]


def test_jacobian_and_adversarial_example():
    model = convnet()
    x = ops.convert_to_tensor(IMAGES[:2])
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = model(x)
    jacobian = tape.jacobian(y, x)
    assert jacobian.shape == (2, 3, 2, 8, 8, 1)
    np.testing.assert_allclose(jacobian.numpy()[0, :, 1], 0, atol=1e-7)  # samples do not mix
    np.testing.assert_allclose(jacobian.numpy()[0, :, 0].sum(axis=0), 0, atol=1e-5)  # softmax sums to one
    label = np.array([0, 1])
    with keras.GradientTape() as tape:
        tape.watch(x)
        loss = keras.losses.SparseCategoricalCrossentropy()(label, model(x))
    adversarial = x + 0.3 * ops.sign(tape.gradient(loss, x))
    assert keras.losses.SparseCategoricalCrossentropy()(label, model(adversarial)) > loss
